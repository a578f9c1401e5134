(() => {
  const model = JSON.parse(document.getElementById("model").textContent);
  const fields = new Map(model.inputs.map((field) => [field.name, field]));
  const inputs = [...document.querySelectorAll("#form [data-column]")];
  const said = document.getElementById("said");
  const problem = document.getElementById("problem");
  const took = document.getElementById("took");
  const pictures = new Map(); // column -> [{name, base64}], as chosen
  let base = Object.fromEntries(model.inputs.map((field) => [field.name, null])); // for columns that have no control
  const target = model.target;

  const words = (en, zh) => [["en", en], ["zh", zh]].map(([lang, text]) => make("span", { lang, textContent: text }));
  const make = (name, values = {}, ...children) => {
    const element = Object.assign(document.createElement(name), values);
    element.append(...children);
    return element;
  };

  // --- from the form to rows

  const isInteger = (field) => /^u?int/.test(field.type);
  const read = (input) => {
    const field = fields.get(input.dataset.column);
    if (input.type === "file") return (pictures.get(field.name) || [])[0]?.base64 ?? null;
    const text = input.value;
    if (field.kind === "text") return text;
    if (text === "") return null;
    if (field.type === "bool") return text === "true";
    if (field.kind === "number") return Number(text);
    if (field.kind === "vector") return text.replace(/[[\]]/g, "").split(/[,\s]+/).filter(Boolean).map(Number);
    if (field.kind === "labels") return text.split(",").map((part) => part.trim()).filter(Boolean);
    if (isInteger(field) && /^-?\d+$/.test(text)) return Number(text);
    return text;
  };
  const readRows = () => {
    const row = { ...base, ...Object.fromEntries(inputs.map((input) => [input.dataset.column, read(input)])) };
    for (const [column, chosen] of pictures) {
      if (chosen.length > 1) return chosen.map((picture) => ({ ...row, [column]: picture.base64 }));
    }
    return [row];
  };
  const write = (row) => {
    base = row;
    for (const input of inputs) {
      const value = row[input.dataset.column];
      if (input.type === "file") choose(input, value ? [{ name: "picture.png", base64: value }] : []);
      else if (input.type === "datetime-local") input.value = (value ?? "").slice(0, 19);
      else input.value = value === null || value === undefined ? "" : Array.isArray(value) ? value.join(", ") : String(value);
    }
  };
  const choose = (input, chosen) => {
    pictures.set(input.dataset.column, chosen);
    const image = input.parentNode.querySelector("img");
    image.hidden = chosen.length !== 1;
    if (chosen.length !== 1) return;
    image.onload = () => {
      image.classList.toggle("small", image.naturalWidth <= 64);
      image.classList.toggle("large", image.naturalWidth > 150);
    };
    image.src = `data:image;base64,${chosen[0].base64}`;
  };
  const load = async (input, files) => {
    const read = (file) => new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve({ name: file.name, base64: reader.result.split(",")[1] || "" });
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(file);
    });
    choose(input, await Promise.all([...files].slice(0, 100).map(read)));
    pressed(null);
    ask();
  };

  // --- from rows to the answer

  let running = null;
  const ask = async () => {
    running?.abort();
    running = new AbortController();
    const mine = running;
    const rows = readRows();
    tell(rows);
    said.classList.add("old");
    const began = performance.now();
    try {
      const response = await fetch(`/v1/models/${model.name}:predict`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ rows, record: false }),
        signal: mine.signal,
      });
      const body = await response.json();
      if (!response.ok) throw new Error([body.detail, body.hint].filter(Boolean).join(" "));
      show(body, rows);
      const milliseconds = (performance.now() - began).toFixed(0);
      const by = model.versions.length > 1 ? [` Version ${body.version} answered.`, `由第 ${body.version} 版作答。`] : ["", ""];
      took.replaceChildren(...words(`${milliseconds} ms there and back.${by[0]}`, `往返 ${milliseconds} 毫秒。${by[1]}`));
      if (!model.versions.includes(body.version)) location.reload();  // another version went live
    } catch (error) {
      if (mine.signal.aborted) return;
      problem.textContent = error.message;
      problem.hidden = false;
      said.replaceChildren();
      took.replaceChildren();
    } finally {
      if (mine === running) said.classList.remove("old");
    }
  };
  let timer = 0;
  const soon = () => { clearTimeout(timer); timer = setTimeout(ask, 180); };

  const figure = (value) => {
    if (value === null) return "–";
    if (typeof value === "boolean") return String(value);
    if (typeof value !== "number") return String(value);
    return Number.isInteger(value) ? String(value) : value.toLocaleString("en", { maximumSignificantDigits: 6 });
  };
  const percent = (share) => {
    if (share > 0 && share < 0.0005) return "< 0.1 %";
    if (share < 1 && share > 0.9995) return "> 99.9 %";
    return `${(100 * share).toFixed(1)} %`;
  };
  const sum = (answer) => {
    const value = answer.prediction;
    if (!Array.isArray(value)) return figure(value);
    return value.length ? value.map(figure).join(", ") : "∅";
  };

  const show = (body, rows) => {
    problem.hidden = true;
    if (body.rows.length > 1) return said.replaceChildren(many(body.rows, rows));
    const answer = body.rows[0];
    const parts = [make("div", { className: "big", textContent: sum(answer) })];
    if (answer.probability !== undefined) {
      const sure = make("div", { className: "sure" }, ...words(`${target.name}, with a probability of ${percent(answer.probability)}`, `${target.name}，概率 ${percent(answer.probability)}`));
      parts.push(sure);
    } else parts.push(make("div", { className: "sure", textContent: target.name }));
    if (answer.probabilities) parts.push(bars(answer));
    said.replaceChildren(...parts);
  };
  const bars = (answer) => {
    let shares = Object.entries(answer.probabilities);
    const chosen = new Set([answer.prediction].flat().map(String));
    const hidden = shares.length - 12;
    if (hidden > 0) shares = shares.sort((a, b) => b[1] - a[1]).slice(0, 12);
    const lines = shares.map(([name, share]) => {
      const fill = make("i");
      fill.style.width = `${100 * share}%`;
      const line = make("div", {}, make("div", { className: "name", textContent: name, title: name }), make("div", { className: "track" }, fill), make("div", { className: "value", textContent: percent(share) }));
      line.classList.toggle("best", chosen.has(name));
      return line;
    });
    const list = make("div", { className: "bars" }, ...lines);
    if (hidden > 0) list.append(make("p", { className: "note" }, ...words(`and ${hidden} more`, `另有 ${hidden} 项`)));
    return list;
  };
  const many = (answers, rows) => {
    const column = [...pictures].find(([, chosen]) => chosen.length > 1)[0];
    return make("div", { className: "many" }, ...answers.map((answer, i) => {
      const sure = answer.probability === undefined ? "" : percent(answer.probability);
      const name = pictures.get(column)[i]?.name ?? "";
      return make("figure", { title: name }, make("img", { src: `data:image;base64,${rows[i][column]}`, alt: name }), make("strong", { textContent: sum(answer) }), make("span", { className: "soft", textContent: sure }));
    }));
  };

  // --- the same for a program

  const quoted = (text) => `'${text.replace(/'/g, `'\\''`)}'`;
  const url = `${model.url}/v1/models/${model.name}:predict`;
  const curl = (rows) => {
    const files = [...fields.values()].filter((field) => field.kind === "image" || field.type.includes("binary"));
    if (!files.length) return `curl ${quoted(url)} -d ${quoted(JSON.stringify({ rows: rows.slice(0, 1) }, null, 2))}`;
    const parts = [...fields.keys()].map((name) => {
      const file = (pictures.get(name) || [])[0];
      const value = rows[0][name];
      if (files.some((field) => field.name === name)) return `-F ${quoted(`${name}=@${file?.name ?? "picture.png"}`)}`;
      return `--form-string ${quoted(`${name}=${Array.isArray(value) ? JSON.stringify(value) : value ?? ""}`)}`;
    });
    return `curl ${quoted(url)} \\\n  ${parts.join(" \\\n  ")}`;
  };
  const literal = (value) => {
    if (value === null || value === undefined) return "None";
    if (value === true) return "True";
    if (value === false) return "False";
    if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
    if (typeof value === "object") return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${literal(item)}`).join(", ")}}`;
    return JSON.stringify(value);
  };
  const python = (rows) => {
    const binary = (name) => fields.get(name).kind === "image" || fields.get(name).type.includes("binary");
    const lines = [...fields.keys()].map((name) => {
      const file = (pictures.get(name) || [])[0]?.name ?? "picture.png";
      const value = binary(name) ? `open(${JSON.stringify(file)}, "rb").read()` : literal(rows[0][name]);
      return `    ${JSON.stringify(name)}: ${value},`;
    });
    const place = JSON.stringify(model.url) + (model.models > 1 ? `, ${JSON.stringify(model.name)}` : "");
    return [
      "import orrery as ory",
      "",
      `row = {\n${lines.join("\n")}\n}`,
      `with ory.Client(${place}) as client:`,
      "    print(client.predict(row))",
    ].join("\n");
  };
  const kafka = (rows) => [
    `orrery stream kafka://localhost:9092/rows models:/${model.name} kafka://localhost:9092/answers`,
    "",
    "# A message to try it with:",
    `printf '%s\\n' ${quoted(JSON.stringify(rows[0]))} | kcat -b localhost:9092 -t rows -P`,
  ].join("\n");
  const tell = (rows) => {
    document.getElementById("curl").textContent = curl(rows);
    document.getElementById("python").textContent = python(rows);
    const messages = document.getElementById("kafka");
    if (messages) messages.textContent = kafka(rows);
  };

  // --- what a person does

  const pressed = (button) => {
    for (const each of document.querySelectorAll(".example")) each.setAttribute("aria-pressed", String(each === button));
  };
  const example = (button) => {
    write(model.examples[Number(button.dataset.example)]);
    pressed(button);
    ask();
  };
  for (const button of document.querySelectorAll(".example")) button.addEventListener("click", () => example(button));
  document.getElementById("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  for (const input of inputs) {
    if (input.type !== "file") {
      input.addEventListener("input", () => { pressed(null); soon(); });
      continue;
    }
    input.addEventListener("change", () => { if (input.files.length) load(input, input.files); });
    const place = input.parentNode;
    for (const kind of ["dragenter", "dragover"]) place.addEventListener(kind, () => place.classList.add("over"));
    for (const kind of ["dragleave", "drop"]) place.addEventListener(kind, () => place.classList.remove("over"));
  }
  // A picture may be dropped or pasted anywhere on the page.
  const uploads = inputs.filter((input) => input.type === "file");
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const place = event.target.closest?.(".drop")?.querySelector("input") ?? uploads[0];
    if (place && event.dataTransfer.files.length) load(place, event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (uploads[0] && event.clipboardData.files.length) load(uploads[0], event.clipboardData.files);
  });
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentNode.querySelector("code").textContent);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1200);
    });
  }

  const first = document.querySelector(".example");
  if (first) example(first);
  else {
    tell(readRows());
    said.replaceChildren(make("p", { className: "empty" }, ...words("Fill in the form: the answer appears here.", "填写左侧表单，答案会出现在这里。")));
  }
})();
