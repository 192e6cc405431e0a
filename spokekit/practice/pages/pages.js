// Copies what stands beside a button. Where the browser gives no clipboard, it is marked for Ctrl+C.
for (const box of document.querySelectorAll(".copy")) {
  box.hidden = false;
  const button = box.querySelector("button"), said = box.querySelector("[role=status]");
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.textContent);
      said.textContent = "Copied.";
    } catch {
      text.closest("details")?.setAttribute("open", "");
      getSelection().selectAllChildren(text);
      said.textContent = "Marked: press Ctrl+C (Cmd+C).";
    }
  });
}
