// Follows Airflow's light and dark, ticks rows, shows that a page is on its way. Every page works without it.
"use strict";

(() => {
  const framed = window.parent !== window;

  // The page around ours, if it is Airflow's own: another origin may not be looked at.
  function outer() {
    try {
      return framed ? window.parent.document : null;
    } catch {
      return null;
    }
  }

  // Airflow notes "light", "dark" or "system" under "theme", and puts the outcome on its root element as a class.
  function theme() {
    const root = outer()?.documentElement;
    for (const name of ["dark", "light"]) {
      if (root?.classList.contains(name)) return name;
    }
    try {
      const noted = window.localStorage.getItem("theme");
      return noted === "dark" || noted === "light" ? noted : "";
    } catch {
      return "";
    }
  }

  function paint() {
    document.documentElement.dataset.theme = theme();
  }

  paint();
  window.addEventListener("storage", paint);
  const around = outer()?.documentElement;
  if (around) new MutationObserver(paint).observe(around, { attributes: true, attributeFilter: ["class"] });

  // Loading: only when it takes long enough to be noticed.
  let waiting = 0;
  function busy() {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => {
      document.body.classList.add("loading");
      document.querySelector("main")?.setAttribute("aria-busy", "true");
      const words = document.querySelector("[data-progress]");
      if (words) words.textContent = "Loading\u2026";
    }, 150);
  }
  function ready() {
    window.clearTimeout(waiting);
    document.body.classList.remove("loading");
    document.querySelector("main")?.removeAttribute("aria-busy");
    const words = document.querySelector("[data-progress]");
    if (words) words.textContent = "";
  }

  // Airflow's own pages open in Airflow's window, not in the frame that these pages have in it.
  function openOutside(event, link) {
    const page = outer();
    if (!page) return;
    event.preventDefault();
    const twin = page.createElement("a");
    twin.href = link.href;
    page.body.append(twin);
    twin.click();
    twin.remove();
  }

  function ticked(form) {
    const boxes = [...form.querySelectorAll("input[name=row]")];
    const chosen = boxes.filter((box) => box.checked).length;
    for (const all of form.querySelectorAll("[data-all]")) {
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
    }
    const words = form.querySelector("[data-chosen]");
    if (words) words.textContent = chosen === 1 ? "1 row chosen" : `${chosen.toLocaleString("en")} rows chosen`;
    for (const button of form.querySelectorAll("[data-needs-rows]")) button.disabled = chosen === 0;
  }

  // The server demands it as well; here nothing that was ticked is lost.
  function demandReason(event, form) {
    const reason = form.querySelector("input[name=reason]");
    reason.setCustomValidity(reason.value.trim() ? "" : "Say why these rows need not arrive.");
    if (reason.reportValidity()) return;
    event.preventDefault();
    reason.addEventListener("input", () => reason.setCustomValidity(""), { once: true });
  }

  function start() {
    for (const form of document.querySelectorAll("form[data-rows]")) {
      form.addEventListener("change", (event) => {
        if (event.target.matches("[data-all]")) {
          for (const box of form.querySelectorAll("input[name=row]")) box.checked = event.target.checked;
        }
        ticked(form);
      });
      form.addEventListener("click", (event) => {
        if (event.target.matches("[data-needs-reason]")) demandReason(event, form);
      });
      ticked(form);
    }
    for (const form of document.querySelectorAll("form[data-direct]")) {
      form.addEventListener("change", (event) => {
        if (event.target.matches("select")) form.requestSubmit();
      });
    }
    document.querySelector("[data-done]")?.focus();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    const plain = !event.defaultPrevented && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;
    if (!link || !plain) return;
    if (link.matches("[data-airflow]")) openOutside(event, link);
    else if (!link.hash || link.pathname !== window.location.pathname) busy();
  });
  document.addEventListener("submit", busy);
  window.addEventListener("pageshow", () => {
    ready();
    document.querySelectorAll("form[data-rows]").forEach(ticked);
  });

  // "/" goes to the search, as in Airflow's own lists.
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.querySelector("main [data-search]") ?? document.querySelector("[data-search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
    search.select();
  });

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
