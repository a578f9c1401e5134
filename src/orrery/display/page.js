(() => {
  const root = document.documentElement;
  const remember = (key, value) => { try { localStorage.setItem("orrery." + key, value); } catch {} };
  const recall = (key) => { try { return localStorage.getItem("orrery." + key); } catch { return null; } };
  const pick = (kind, value) => document.querySelector(`.switch.${kind} input[value="${value}"]`);
  const language = () => (document.querySelector(".pick-zh:checked") ? "zh" : "en");

  const asked = new URLSearchParams(location.search);
  const first = {
    language: asked.get("language") || recall("language") || (navigator.language.startsWith("zh") ? "zh" : "en"),
    theme: asked.get("theme") || recall("theme") || "auto",
  };
  for (const [kind, value] of Object.entries(first)) {
    const button = pick(kind, value);
    if (button) button.checked = true;
  }

  const titleOf = document.querySelector("head > title");
  const english = titleOf.textContent;
  const applied = () => {
    root.lang = language();
    titleOf.textContent = language() === "zh" ? titleOf.dataset.zh : english;
  };
  document.addEventListener("change", (event) => {
    const group = event.target.closest(".switch");
    if (!group) return;
    remember(group.classList.contains("theme") ? "theme" : "language", event.target.value);
    applied();
  });
  applied();

  // The browser's own tips are slow, and know one language: take their words and show them at once.
  for (const title of document.querySelectorAll("svg title")) {
    const mark = title.parentNode;
    mark.dataset.en = title.textContent;
    mark.dataset.zh = title.dataset.zh || title.textContent;
    title.remove();
  }
  for (const mark of document.querySelectorAll(".orrery [title]")) {
    mark.dataset.en = mark.title;
    mark.dataset.zh = mark.dataset.zh || mark.title;
    mark.removeAttribute("title");
  }
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest ? event.target.closest("[data-en]") : null;
    tip.hidden = !mark || !mark.dataset.en;
    if (tip.hidden) return;
    tip.textContent = mark.dataset[language()];
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
    tip.style.top = (event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18) + "px";
  });
})();
