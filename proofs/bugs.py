"""Known bugs of software that keeps systems in step, each as an edit of the package's source.

An edit is ``(file, old, new)``; the old text has to be there exactly once, so that a bug cannot quietly go missing
when the code changes. Bugs of protocols that histories do not speak are left to contract tests, named here.
"""

from __future__ import annotations

from dataclasses import dataclass

Edit = tuple[str, str, str]
READING, WINDOWS = "systems/sap_commerce/reading.py", "systems/sap_commerce/windows.py"
COLLECTED, PROTOCOL = "systems/sap_commerce/collected.py", "systems/sap_commerce/protocol.py"
SETTLE, MARKERS = "ledger/settle.py", "ledger/markers.py"
CONTRACTS = "tests/contracts"


@dataclass(frozen=True)
class Bug:
    """One bug. ``tests``: pytest arguments for what the histories cannot see."""

    name: str
    edits: tuple[Edit, ...]
    tests: str = ""


def _bug(name: str, *edits: Edit, tests: str = "") -> Bug:
    return Bug(name, edits, tests)


SETTLED_JOIN = """FROM (SELECT *, {folding.marker(leg)} AS _marker FROM sent) AS c
        JOIN results AS r ON r._key = c._key WHERE r.outcome = 'delivered'{_adopted(leg)}"""
BY_POSITION = """FROM (SELECT *, {folding.marker(leg)} AS _marker, row_number() OVER () AS _n FROM sent) AS c
        JOIN (SELECT *, row_number() OVER () AS _n FROM results) AS r ON r._n = c._n WHERE r.outcome = 'delivered'{_adopted(leg)}"""
EARLY_MARK = """    if found.high_water and leg.run.until:
        from dataclasses import replace

        from commerce_sync.ledger import state
        from commerce_sync.ledger.database import writing

        with writing(leg.site.ledger._engine) as connection:
            known = state.locked(connection, leg.leg)
            moved = replace(known, high_water=min(found.high_water, leg.run.until))
            state.write(connection, moved, previous=known)
    return found.rows
"""
NO_COUNT = (READING, "            if len(seen) >= expected:\n                return\n", "            return\n")
FIRST_PAGE = (
    READING,
    "            if page.next is None:\n                return\n            following",
    "            return\n            following",
)

READ = (
    _bug("open lower bound", (READING, "{self.source.modified} ge ", "{self.source.modified} gt ")),
    _bug("closed upper bound read as the next second", (READING, "{self.source.modified} lt {self._moment(high)}", "{self.source.modified} lt {self._moment(high - self.unit)}")),
    _bug("no overlap", ("window.py", "    return high_water - max(item.overlap for item in mapping.sources)", "    return high_water")),
    _bug("high water by our clock", ("high_water.py", "    return max((at for item in leg.mapping.sources if (at := _newest(leg, item)) is not None), default=None)", "    return leg.run.until or leg.run.started")),
    _bug("upper bound not fixed at the start", ("high_water.py", "    return min(datetime.fromisoformat(text), leg.run.until or leg.run.started)", "    return datetime.fromisoformat(text)")),
    _bug("high water moved before commit", ("leg.py", "    return found.rows\n", EARLY_MARK)),
    _bug("times of another zone taken as UTC", (PROTOCOL, "    text = as_utc(value).replace", "    text = (as_utc(value) + timedelta(hours=1)).replace")),
    _bug("first page only", FIRST_PAGE, NO_COUNT),
    _bug("wrong page offset within ties", (READING, "                skip += len(rows.hashes)\n", "                skip += len(rows.hashes) + 1\n"), (READING, "            if len(found) >= before and before ==", "            if before =="), NO_COUNT),
    _bug("deletes from a truncated scan", FIRST_PAGE, NO_COUNT, (WINDOWS, "    if rows < before and rows < after:", "    if rows < 0:")),
    _bug("a link chain that shifted is taken as whole", (READING, "            if len(set(counts)) == 1 and found >= counts[0]:", "            if counts:"), (WINDOWS, "    if rows < before and rows < after:", "    if rows < 0:"), tests="tests/systems/sap_commerce/test_sap_reading.py"),
    _bug("a record that moved while it was read is kept twice", (COLLECTED, "        if (ordered[1:] == ordered[:-1]).any():", "        if False:")),
)  # fmt: skip
DETECTED = (
    _bug("deletes from an incremental run", ("leg.py", "        return not self.keys and (self.scans or self.mapping.aggregate is not None)", "        return not self.keys")),
    _bug("null as empty text", ("changes.py", "lengths=lengths)}, {NULL_MARK})\"", "lengths=lengths)}, '')\""), tests="tests/test_changes.py"),
    _bug("empty text as null", ("changes.py", '    return f"CAST(({expression}) AS {type_text})"', "    return f\"nullif(CAST(({expression}) AS {type_text})::VARCHAR, '')::{type_text}\"")),
    _bug("fingerprint that ignores the last field", ("changes.py", "for name, kind in fields.items()\n    )\n    return f\"concat_ws(", "for name, kind in list(fields.items())[:-1]\n    )\n    return f\"concat_ws(")),
    _bug("fingerprint in which a text imitates a separator", ("changes.py", "    joined = f\"CASE WHEN {strange} THEN {guarded} ELSE {plain} END\" if strange else plain", "    joined = plain"), tests="tests/test_changes.py"),
    _bug("negative zero is a change", ("changes.py", "THEN {column} + 0.0 END", "THEN {column} END"), tests="tests/test_changes.py"),
    _bug("Unicode forms are changes", ("changes.py", 'else f"nfc_normalize({column})"', 'else f"{column}"'), tests="tests/test_changes.py"),
    _bug("mapping version ignored", ("changes.py", "    mark = f\"'v{version}{'l' if lengths else ''}'\"", "    mark = f\"'v1{'l' if lengths else ''}'\"")),
    _bug("filtered records are sent", ("changes.py", "                    {taken}WHEN NOT k._wanted THEN 'filtered'\n", "                    {taken}")),
    _bug("records that leave stay", ("changes.py", "        return target.on_leave == \"delete\" and", "        return False and")),
    _bug("deletes of records that are there again", (MARKERS, "        alive = f\"SELECT key, fingerprint, target_id FROM ({latest}) WHERE NOT gone\"", "        alive = f\"SELECT key, fingerprint, target_id FROM ({latest})\"")),
    _bug("source keys that are there twice are merged", ("detection.py", "    if total != distinct:", "    if False:"), tests="tests/proofs/test_same_keys.py"),
)  # fmt: skip
DELIVERED = (
    _bug("results matched by position", ("delivery.py", SETTLED_JOIN, BY_POSITION)),
    _bug("marker for rejected rows", ("delivery.py", "ON r._key = c._key WHERE r.outcome = 'delivered'{_adopted(leg)}", "ON r._key = c._key WHERE r.outcome <> 'unprocessed'{_adopted(leg)}")),
    _bug("marker for unprocessed rows", ("delivery.py", "ON r._key = c._key WHERE r.outcome = 'delivered'{_adopted(leg)}", "ON r._key = c._key WHERE r.outcome <> 'rejected'{_adopted(leg)}")),
    _bug("rejected rows never offered again", ("rejecting.py", "    unfinished = \"SELECT key FROM new_rejects UNION", "    unfinished = \"SELECT key FROM new_rejects WHERE false UNION")),
    _bug("rows that wait are forgotten", ("rejecting.py", "UNION SELECT _key FROM verdicts WHERE verdict = 'waiting'\"\n    unfinished +=", "\"\n    unfinished +=")),
    _bug("an older refused value overwrites a newer one", ("leg.py", "        WHERE {key} NOT IN (SELECT {key} FROM ({read}) AS record)\"\"\"", "        \"\"\"")),
    _bug("rows that failed the gate marked as seen", ("delivery.py", '"CREATE TEMP VIEW sent AS SELECT * FROM changes WHERE _key NOT IN (SELECT _key FROM quarantined)"', '"CREATE TEMP VIEW sent AS SELECT * FROM changes"'), ("delivery.py", "    if _balances(con):\n        return\n", "    if con:\n        return\n")),
    _bug("refused rows not remembered", ("rejecting.py", "FROM sent AS c JOIN results AS r ON r._key = c._key AND r.outcome <> 'delivered'", "FROM sent AS c JOIN results AS r ON r._key = c._key AND r.outcome = 'rejected'")),
    _bug("a delete is forgotten", ("delivery.py", "               c._kind = 'DELETED' AS gone,", "               false AS gone,")),
    _bug("a backfill moves the high water back", (SETTLE, "    return stored.kind != \"backfill\" and runs.balances(counts)", "    return runs.balances(counts)"), (SETTLE, "    return max((moment for moment in (stored, given) if moment is not None), default=None)", "    return given or stored"), ("high_water.py", 'leg.run.kind not in ("changes", "complete")', 'leg.run.kind not in ("changes", "complete", "backfill")')),
    _bug("two runs of a leg at once", ("company.py", "    return [\n        other\n", "    return [] and [\n        other\n")),
    _bug("what was read before another run settled is sent", ("leg.py", "        if self.state.version not in (batch.facts[STATE_VERSION], self.run.settled_version):", "        if False:"), tests=f"{CONTRACTS}/test_windows_and_guards.py -k 'newer_one_settled or cleared_later'"),
    _bug("a run that was given up is taken as never begun", ("detection.py", "doubt.trusted(leg, _living(leg, merged))", "_living(leg, merged)"), tests="tests/proofs/test_given_up.py"),
    _bug("balance by count only", ("delivery.py", "    return bool(joined == sound == sent == answers)", "    return bool(sent == answers)"), tests=f"{CONTRACTS}/test_balancing.py -k 'misreports and swaps'"),
    _bug("batches are not compared with what was written", ("batches.py", "        altered = batch.altered() if found == batch.rows else []", "        altered = []"), tests="SABOTEUR"),
    _bug("markers are not compared with what was delivered", ("delivery.py", "    recording.refuse_altered(leg, con, delta, delivered)\n", ""), tests="SABOTEUR"),
)  # fmt: skip
SPOKEN = (
    _bug("clear not sent", ("systems/salesforce/cells.py", 'NULL_MARK = "#N/A"', 'NULL_MARK = ""'), tests=f"{CONTRACTS}/test_clearing.py"),
    _bug("a create that may have worked is sent again", ("systems/rest.py", "            repeatable=method in REPEATABLE if repeatable is None else repeatable,", "            repeatable=True,"), tests="tests/systems/test_rest.py"),
    _bug("a resumed load starts a second job", ("delivery.py", "        self._prefix = f\"{batch}/\"", "        self._prefix = f\"{batch}-{id(self)}/\""), tests=f"{CONTRACTS}/test_killing.py -k 'taken_up_by_another_process or walked_again'"),
    _bug("a webhook that came twice counts twice", ("ledger/events.py", "VALUES ({marks}) ON CONFLICT DO NOTHING\"", "VALUES ({marks})\""), tests="tests/ledger/test_events.py"),
    _bug("time zones compared as naive", ("changes.py", '        return f"CAST(epoch_us({column}) // 1000 AS VARCHAR)"', '        return f"CAST(epoch_us({column}::TIMESTAMP) // 3600000000 AS VARCHAR)"'), tests="tests/test_changes.py"),
)  # fmt: skip
BUGS = (*READ, *DETECTED, *DELIVERED, *SPOKEN)
