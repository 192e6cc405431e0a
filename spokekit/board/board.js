// Asks every two seconds for the parts of the page that change, and changes only what has: where the keyboard is, what
// is open and how far somebody has scrolled stays.
const address = new URL(location.href);
address.searchParams.set("live", "1");
address.hash = "";
const late = document.getElementById("late");

function same(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const open = new Map([...old.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
  for (const one of fresh.querySelectorAll("details[id]")) if (open.get(one.id)) one.open = true;
  if (old.isEqualNode(fresh)) return;
  const keyed = [...fresh.children].every((one) => one.id) && fresh.children.length > 0;
  if (keyed && old.tagName === fresh.tagName) return sorted(old, fresh);
  const here = old.contains(document.activeElement) ? document.activeElement : null;
  if (here && old.children.length === fresh.children.length && old.children.length > 0) {
    [...old.children].forEach((child, at) => same(child, fresh.children[at]));
    return;
  }
  const id = here && here.id;
  const made = document.importNode(fresh, true);
  old.replaceChildren(...made.childNodes);
  for (const { name, value } of [...made.attributes]) old.setAttribute(name, value);
  if (id) document.getElementById(id)?.focus({ preventScroll: true });
}

function sorted(old, fresh) {
  const wanted = new Set([...fresh.children].map((one) => one.id));
  for (const one of [...old.children]) if (!wanted.has(one.id)) one.remove();
  // The row with the keyboard in it is never moved: the others are moved around it.
  const fixed = [...old.children].find((one) => one.contains(document.activeElement));
  const place = fixed && [...fresh.children].findIndex((one) => one.id === fixed.id);
  let before = null;
  [...fresh.children].reverse().forEach((one, back) => {
    let row = document.getElementById(one.id);
    if (row) same(row, one);
    else row = document.importNode(one, true);
    const at = fresh.children.length - 1 - back;
    if (fixed && at === place) { before = fixed; return; }
    const next = row.parentNode === old ? row.nextElementSibling : undefined;
    if (next !== before) old.insertBefore(row, before);
    before = row;
  });
}

async function look() {
  try {
    const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of fresh.querySelectorAll("[data-live]")) {
      const old = document.getElementById(part.id);
      if (old) same(old, part);
    }
    late.hidden = true;
  } catch {
    late.hidden = false;
  }
  setTimeout(look, document.hidden ? 10000 : 2000);
}
setTimeout(look, 2000);
