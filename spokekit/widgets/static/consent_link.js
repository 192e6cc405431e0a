// A link whose address is in the page only: it holds the state of the attempt, which no saved notebook should keep.
function render({ model, el }) {
  el.classList.add("sk-consent");
  const link = document.createElement("a");
  link.className = "sk-button";
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  link.hidden = true;
  const said = document.createElement("span");
  said.className = "sk-note";
  el.append(link, said);

  function seen(message) {
    if (message?.kind === "clear") {
      link.hidden = true;
      link.removeAttribute("href");
      said.textContent = "";
    }
    if (message?.kind !== "address") return;
    // A Jupyter server that takes the redirect itself is named by its path alone.
    const address = new URL(message.url, window.location.href);
    if (!["http:", "https:"].includes(address.protocol)) {
      said.textContent = "This window cannot open it: use the notebook in a browser, in JupyterLab.";
      return;
    }
    link.href = address.href;
    link.textContent = model.get("description");
    link.hidden = false;
    said.textContent = "";
    // Right after the press of a button a browser lets a page open; if not, the link stands there.
    if (message.open && navigator.userActivation?.isActive) {
      const page = window.open(address.href, "_blank");
      if (page) {
        page.opener = null;
        said.textContent = "It has opened in another tab. Come back here afterwards.";
      }
    }
  }
  model.on("msg:custom", seen);
  model.send({ kind: "ask" });
  return () => model.off("msg:custom", seen);
}

export default { render };
