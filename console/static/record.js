// Shows times also in the reader's own zone, and brings new events while the log is followed.
"use strict";
(() => {
  // This locale writes moments as the page does: 2026-12-31 18:00:00, then the zone.
  const zone = new Intl.DateTimeFormat("sv-SE", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    timeZoneName: "short",
  });
  const isUTC = new Date().getTimezoneOffset() === 0;

  function tellLocally(root) {
    for (const time of root.querySelectorAll("time[data-moment]")) {
      time.removeAttribute("data-moment");
      const moment = new Date(time.dateTime);
      if (isUTC || Number.isNaN(moment.getTime())) continue;
      const local = document.createElement("span");
      local.className = "local";
      local.textContent = " " + zone.format(moment);
      time.append(local);
    }
  }

  tellLocally(document);

  // A menu closes as others do: by Escape, or by a click elsewhere.
  const menus = [...document.querySelectorAll("details.menu")];
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of menus.filter((one) => one.open)) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", (event) => {
    for (const menu of menus) if (!menu.contains(event.target)) menu.open = false;
  });

  const list = document.getElementById("events");
  const state = document.getElementById("state");
  if (!list || !list.dataset.news || !state) return;
  const PAUSE = 2000, LONGEST_PAUSE = 60000, MOST_SHOWN = 500;
  let pause = PAUSE;

  async function look() {
    try {
      const url = new URL(list.dataset.news, location.href);
      url.searchParams.set("after", list.dataset.top);
      const answer = await fetch(url, { credentials: "same-origin", redirect: "error" });
      if (answer.status === 401 || answer.status === 403 || answer.status === 404) {
        state.textContent = "This is over. Open the page anew to follow on.";
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.text(), answer.headers.get("X-Last-Row"), answer.headers.has("X-Cut"));
      pause = PAUSE;
    } catch {
      pause = Math.min(pause * 2, LONGEST_PAUSE);
      state.textContent = "The service does not answer. It is tried again.";
    }
    setTimeout(look, pause);
  }

  function show(text, last, isCut) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = [...page.querySelectorAll("li.event")].filter((one) => !document.getElementById(one.id));
    if (last) list.dataset.top = last;
    tellLocally(page);
    for (const one of fresh) one.classList.add("new");
    list.prepend(...fresh);
    while (list.children.length > MOST_SHOWN) list.lastElementChild.remove();
    if (fresh.length) document.getElementById("empty")?.remove();
    const more = isCut ? ", and more than is shown: they are in the list" : "";
    state.textContent = fresh.length ? `${fresh.length} new${more}` : "Following. New events come by themselves.";
  }

  look();
})();
