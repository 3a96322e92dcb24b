"use strict";
(() => {
  const said = document.getElementById("said");
  const status = document.getElementById("status");
  const again = document.getElementById("again");
  const copy = document.getElementById("copy");
  const reloads = document.body.dataset.again === "reload";
  const words = {
    starting: "A file changed. Starting again …",
    restarting: "A file changed. Starting again …",
    // After a POST, a reload would ask whether to send the form again.
    recovered: reloads ? "It is back." : "It is back. Your form was not processed: go back, and send it again.",
    broken: "It failed again.",
    gone: "The connection to the server is lost. See its terminal.",
  };
  const tell = (name, text) => {
    status.dataset.state = name;
    said.textContent = text || words[name];
  };
  const leave = () => {
    if (reloads) {
      location.reload();
    } else {
      again.hidden = false;
    }
  };
  // After a failed first start, the whole process starts again. For a moment, nothing listens on its port.
  const retry = (left) => {
    fetch(location.href, { method: "HEAD", cache: "no-store" }).then(leave, () => {
      if (left > 0) {
        setTimeout(() => retry(left - 1), 250);
      } else {
        tell("gone");
        again.hidden = false;
      }
    });
  };
  // Browsers allow the clipboard on localhost and with TLS only.
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.onclick = async () => {
      await navigator.clipboard.writeText(document.getElementById("text").textContent);
      copy.textContent = "Copied";
      setTimeout(() => {
        copy.textContent = "Copy the traceback";
      }, 2000);
    };
  }
  let done = false;
  const isProgress = (name) => name === "starting" || name === "loading";
  const act = (name, text) => {
    if (done) {
      return;
    }
    tell(name, text);
    done = !isProgress(name);
    if (name === "restarting") {
      setTimeout(() => retry(240), 250);
    } else if (name === "gone") {
      again.hidden = false;
    } else if (done) {
      leave();
    }
  };
  // All tabs share one connection to the supervisor, because browsers allow only six per site.
  const tabs = new BroadcastChannel("devpatch");
  tabs.onmessage = (message) => act(message.data.name, message.data.text);
  const watch = () =>
    new Promise((resolve) => {
      if (done) {
        resolve();
        return;
      }
      let opened = false;
      const events = new EventSource(document.body.dataset.events);
      const pass = (name, text) => {
        if (!isProgress(name)) {
          events.close();
          resolve();
        }
        tabs.postMessage({ name, text });
        act(name, text);
      };
      for (const name of ["starting", "loading", "restarting", "recovered", "broken"]) {
        events.addEventListener(name, (event) => pass(name, event.data));
      }
      events.onopen = () => {
        opened = true;
      };
      events.onerror = () => {
        if (opened) {
          pass("gone");
        } else {
          // The next worker took over before this page could connect to the supervisor.
          setTimeout(() => pass("recovered"), 500);
        }
      };
      addEventListener("pagehide", () => events.close());
    });
  if (navigator.locks) {
    navigator.locks.request("devpatch", watch);
  } else {
    watch(); // Locks need localhost or TLS. Without them, each tab has its own connection.
  }
})();
