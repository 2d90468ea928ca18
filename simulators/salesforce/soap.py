"""SOAP login(), behind the switch ``soap_login``; it ends with API 64."""

from __future__ import annotations

from xml.sax.saxutils import escape

from simulators.salesforce import oauth
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.errors import ApiError
from simulators.salesforce.xml_reading import local, parse

LAST_VERSION = 64
XML = "text/xml;charset=UTF-8"
REFUSED = "Invalid username, password, security token; or user locked out."


async def login(call: Call) -> Answer:
    """POST /services/Soap/u/{version}: username with password and security token in one text."""
    version = float(call.given["soap"])
    if version > LAST_VERSION:  # the exact fault is unverified
        return _fault("UNSUPPORTED_API_VERSION", f"login() is not available in API {version}")
    if not call.org.settings["soap_login"]:
        return _fault("INVALID_OPERATION", "SOAP API login() is disabled by default in this org.")
    username, password = _names(call.raw)
    if username != oauth.USERNAME or not oauth.password_fits(password):
        return _fault("INVALID_LOGIN", REFUSED)
    return Answer(body=_welcome(call), content_type=XML)


def _names(raw: bytes) -> tuple[str, str]:
    try:
        root = parse(raw)
    except ApiError:
        return "", ""
    found = {local(element): element.text or "" for element in root.iter()}
    return found.get("username", ""), found.get("password", "")


def _welcome(call: Call) -> str:
    store, version = call.org.store, call.given["soap"]
    short = store.org_id[:15]
    token = call.org.sessions.open().token
    seconds = int(call.org.settings["session_timeout_s"])
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns="urn:partner.soap.sforce.com" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        "<soapenv:Body><loginResponse><result>"
        f"<metadataServerUrl>{call.origin}/services/Soap/m/{version}/{short}</metadataServerUrl>"
        "<passwordExpired>false</passwordExpired><sandbox>false</sandbox>"
        f"<serverUrl>{call.origin}/services/Soap/u/{version}/{short}</serverUrl>"
        f"<sessionId>{escape(token)}</sessionId><userId>{store.user_id}</userId>"
        f"<userInfo><organizationId>{store.org_id}</organizationId>"
        "<organizationName>Commerce Sync</organizationName>"
        f"<sessionSecondsValid>{seconds}</sessionSecondsValid><userId>{store.user_id}</userId>"
        f"<userName>{escape(oauth.USERNAME)}</userName><userType>Standard</userType></userInfo>"
        "</result></loginResponse></soapenv:Body></soapenv:Envelope>"
    )


def _fault(code: str, message: str) -> Answer:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:sf="urn:fault.partner.soap.sforce.com" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<soapenv:Body><soapenv:Fault><faultcode>{code}</faultcode>"
        f"<faultstring>{code}: {escape(message)}</faultstring><detail>"
        f'<sf:LoginFault xsi:type="sf:LoginFault"><sf:exceptionCode>{code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escape(message)}</sf:exceptionMessage></sf:LoginFault></detail>"
        "</soapenv:Fault></soapenv:Body></soapenv:Envelope>"
    )
    return Answer(500, text, content_type=XML)


def routes() -> list[Route]:
    return [Route("POST", "/services/Soap/u/{soap}", login, open=True)]
