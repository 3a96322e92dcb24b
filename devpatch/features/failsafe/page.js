"use strict";
(() => {
  const said = document.getElementById("said");
  const status = document.getElementById("status");
  const reloads = document.body.dataset.again === "reload";
  const words = {
    starting: "A file changed. Starting again …",
    recovered: "It is back.",
    broken: "It failed again.",
  };
  // One connection, to the supervisor. It is never made again: the address may be the application's by then.
  const events = new EventSource(document.body.dataset.events);
  const tell = (name) => {
    status.dataset.state = name;
    said.textContent = words[name];
  };
  events.addEventListener("starting", () => tell("starting"));
  for (const name of ["recovered", "broken"]) {
    events.addEventListener(name, () => {
      events.close();
      tell(name);
      if (reloads) {
        location.reload();
      } else {
        document.getElementById("again").hidden = false;
      }
    });
  }
  let opened = false;
  events.onopen = () => {
    opened = true;
  };
  events.onerror = () => {
    events.close();
    if (!opened && reloads) {
      // Between this page and its events the next worker took over.
      setTimeout(() => location.reload(), 500);
      return;
    }
    status.dataset.state = "gone";
    said.textContent = "The connection to the server is lost. See its terminal.";
    document.getElementById("again").hidden = false;
  };
  addEventListener("pagehide", () => events.close());
})();
