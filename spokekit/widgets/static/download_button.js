// Asks the kernel for a file when it is pressed, and hands it to the browser; the file is never part of the notebook.
function save(name, mime, bytes) {
  const address = URL.createObjectURL(new Blob([bytes], { type: mime }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.style.display = "none";
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

function render({ model, el }) {
  el.classList.add("sk-download");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sk-copy-button";
  el.append(button);
  // A component that is shown twice has two buttons: the file goes to the one that was pressed.
  let asked = false;
  const show = () => {
    button.textContent = model.get("description");
    button.disabled = model.get("disabled");
  };
  const given = (message, buffers) => {
    if (!asked || message?.kind !== "file") return;
    asked = false;
    save(message.name, message.mime, buffers[0]);
  };
  button.addEventListener("click", () => {
    asked = true;
    model.send({ kind: "ask" });
  });
  model.on("msg:custom", given);
  model.on("change:description change:disabled", show);
  show();
  return () => model.off("msg:custom", given);
}

export default { render };
