// An input whose value lives in the page only. It is sent to the kernel as a message and the input is emptied in the
// same step, so neither the widget's model nor a saved notebook ever holds it.
function render({ model, el }) {
  el.classList.add("sk-secret");
  const id = `sk-secret-${Math.random().toString(36).slice(2)}`;
  const label = document.createElement("label");
  label.htmlFor = id;
  label.className = "sk-secret-label";
  const field = document.createElement("input");
  field.id = id;
  field.type = model.get("masked") ? "password" : "text";
  field.autocomplete = model.get("masked") ? "new-password" : "off";
  field.spellcheck = false;
  field.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const manager of ["data-1p-ignore", "data-lpignore", "data-bwignore"]) field.setAttribute(manager, "true");
  const note = document.createElement("span");
  note.className = "sk-secret-note";
  note.id = `${id}-note`;
  field.setAttribute("aria-describedby", note.id);
  el.append(label, field, note);

  function show() {
    label.textContent = model.get("description");
    field.disabled = model.get("disabled");
    const set = model.get("is_set");
    note.textContent = set ? "✓ " + model.get("set_words") : model.get("unset_words");
    field.placeholder = set ? "type to replace" : "";
  }
  function submit() {
    if (!field.value) return;
    model.send({ kind: "value", value: field.value });
    field.value = "";
    note.textContent = "sent to the kernel …";
  }
  field.addEventListener("blur", submit);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      submit();
    }
  });
  const seen = (message) => {
    if (message?.kind === "received") show();
    if (message?.kind === "clear") {
      field.value = "";
      show();
    }
  };
  model.on("msg:custom", seen);
  const watched = ["description", "is_set", "disabled", "set_words", "unset_words"].map((n) => `change:${n}`);
  watched.forEach((event) => model.on(event, show));
  show();
  return () => {
    // A page that goes away must not take a typed secret along in a detached node.
    field.value = "";
    model.off("msg:custom", seen);
    watched.forEach((event) => model.off(event, show));
  };
}

export default { render };
