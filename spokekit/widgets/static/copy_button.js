// Copies a text to the clipboard; says so in words beside the button.
function render({ model, el }) {
  el.classList.add("sk-copy");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sk-copy-button";
  const said = document.createElement("span");
  said.className = "sk-copy-said";
  said.setAttribute("role", "status");
  el.append(button, said);
  const show = () => {
    button.textContent = model.get("description");
    button.title = `Copies: ${model.get("text")}`;
    button.disabled = !model.get("text");
  };
  let timer;
  button.addEventListener("click", async () => {
    const done = await copy(model.get("text"));
    said.textContent = done ? "Copied." : "Not copied: select the text and copy it by hand.";
    button.focus();
    clearTimeout(timer);
    timer = setTimeout(() => (said.textContent = ""), 4000);
  });
  model.on("change:description", show);
  model.on("change:text", show);
  show();
  return () => clearTimeout(timer);
}

export default { render };
