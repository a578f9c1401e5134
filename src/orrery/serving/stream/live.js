(() => {
  const MOST = 60;
  const SECONDS = 120;
  const at = (id) => document.getElementById(id);
  const make = (name, values = {}, ...children) => {
    const element = Object.assign(document.createElement(name), values);
    element.append(...children);
    return element;
  };
  const words = (en, zh) => [["en", en], ["zh", zh]].map(([lang, text]) => make("span", { lang, textContent: text }));
  const figure = (value) => (value === null ? "–" : value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 }));
  const delay = (seconds) => {
    if (seconds === null) return "–";
    return seconds < 1 ? `${figure(1000 * seconds)} ms` : `${figure(seconds)} s`;
  };
  const percent = (share) => {
    if (share > 0 && share < 0.0005) return "< 0.1 %";
    if (share < 1 && share > 0.9995) return "> 99.9 %";
    return `${(100 * share).toFixed(1)} %`;
  };

  let rates = [];
  const counts = (said) => {
    at("rate").textContent = figure(said.rate);
    at("delay").textContent = delay(said.delay_s);
    at("lag").textContent = figure(said.lag);
    at("settled").textContent = said.settled.toLocaleString("en");
    at("dead").textContent = said.dead.toLocaleString("en");
    at("dead").classList.toggle("bad", said.dead > 0);
    if (said.rate !== null) draw(said.rate);
    const version = said.version ? [`Version ${said.version} answers.`, `由第 ${said.version} 版作答。`] : ["Connected.", "已连接。"];
    tell(false, ...version);
  };
  const draw = (rate) => {
    rates = [...rates, rate].slice(-SECONDS);
    const top = Math.max(...rates, 1);
    at("peak").replaceChildren(...words(`${figure(Math.max(...rates))} at most`, `最高 ${figure(Math.max(...rates))}`));
    const points = rates.map((each, i) => `${600 - (rates.length - 1 - i) * (600 / (SECONDS - 1))},${86 - (80 * each) / top}`);
    at("line").setAttribute("d", `M${points.join("L")}`);
    const first = 600 - (rates.length - 1) * (600 / (SECONDS - 1));
    at("area").setAttribute("d", `M${points.join("L")}L600,88L${first},88Z`);
  };

  const row = (answer) => {
    const said = make("td", { textContent: answer.prediction === null ? "–" : String(answer.prediction) });
    if (answer.probability !== null) said.append(make("small", { textContent: percent(answer.probability) }));
    return make("tr", {},
      make("td", { textContent: new Date(1000 * answer.time_s).toLocaleTimeString("en-GB") }),
      make("td", { textContent: answer.key || answer.id, title: answer.id }),
      said,
      make("td", { textContent: delay(answer.delay_s) }));
  };
  let paused = false;
  const answers = (said) => {
    if (paused) return;
    at("quiet").hidden = true;
    const rows = said.answers.slice(-MOST).reverse().map(row);
    at("answers").prepend(...rows);
    while (at("answers").rows.length > MOST) at("answers").lastElementChild.remove();
  };
  at("pause").addEventListener("click", () => {
    paused = !paused;
    at("pause").setAttribute("aria-pressed", String(paused));
  });

  let told = "";
  const tell = (bad, en, zh) => {
    if (told === en) return;  // a reader of the page aloud hears of changes only
    told = en;
    at("state").classList.toggle("bad", bad);
    at("state").replaceChildren(...words(en, zh));
  };
  const events = new EventSource("/v1/stream/events");
  events.addEventListener("counts", (event) => counts(JSON.parse(event.data)));
  events.addEventListener("answers", (event) => answers(JSON.parse(event.data)));
  events.addEventListener("error", () => tell(true, "The stream is away. This page asks again by itself.", "数据流已断开，本页会自动重试。"));
})();
