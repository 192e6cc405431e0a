// Double click and Enter in the lists of a component, which a stock list does not tell the kernel. What is sent are the
// lines on the screen, by their place and their text: the kernel does nothing when its list is another one by then.
function render({ model, el }) {
  let root, waiting, gone = false;
  el.style.display = "none";

  function tell(list, options) {
    const side = [...root.querySelectorAll(`.${model.get("css")} select`)].indexOf(list);
    if (side < 0 || !options.length) return;
    model.send({ kind: "act", list: side, lines: options.map((o) => [o.index, o.value]) });
  }
  function doubled(event) {
    const option = event.target.closest?.("option"), list = option?.closest("select[multiple]");
    if (list) tell(list, [option]);
  }
  function pressed(event) {
    const list = event.target.closest?.("select[multiple]");
    if (!list || event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    tell(list, [...list.selectedOptions]);
  }
  function attach() {
    if (gone) return;
    root = el.closest(".spokekit");
    if (!root) {
      waiting = setTimeout(attach, 30);
      return;
    }
    root.addEventListener("dblclick", doubled);
    root.addEventListener("keydown", pressed);
  }
  attach();
  return () => {
    gone = true;
    clearTimeout(waiting);
    root?.removeEventListener("dblclick", doubled);
    root?.removeEventListener("keydown", pressed);
  };
}

export default { render };
