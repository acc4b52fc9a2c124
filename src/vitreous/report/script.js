(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Light or dark: the system's choice until the button is used.
  const stored = (value) => {
    try { return value === undefined ? localStorage.getItem("theme") : localStorage.setItem("theme", value); }
    catch { return null; }
  };
  const theme = stored();
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    stored(root.dataset.theme);
  });

  // Tables that sort: a number column from high to low first, empty cells always last.
  const valueOf = (row, index) => {
    const cell = row.cells[index];
    if (cell.dataset.sort !== undefined) return Number.isNaN(Number(cell.dataset.sort)) ? cell.dataset.sort : Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    return text === "–" ? null : text;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  const sortBy = (table, index, head) => {
    const first = head.classList.contains("number") ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const direction = head.getAttribute("aria-sort") === first ? other : first;
    all("th[aria-sort]", table).forEach((cell) => cell.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, index), row]);
    rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * compare(a, b)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  all("table.sortable").forEach((table) => all("thead th", table).forEach((head, index) => {
    head.querySelector("button").addEventListener("click", () => sortBy(table, index, head));
  }));

  // Kinds of picks that can be hidden, and pictures that can be enlarged.
  all(".toggles input").forEach((box) => box.addEventListener("change", () => {
    box.closest(".gallery").classList.toggle(`hide-${box.dataset.kind}`, !box.checked);
  }));
  const zoom = document.getElementById("zoom");
  const enlarge = (frame) => {
    const hidden = [...frame.closest(".gallery").classList].filter((name) => name.startsWith("hide-"));
    const holder = zoom.querySelector("div");
    holder.className = hidden.join(" ");
    holder.replaceChildren(frame.firstElementChild.cloneNode(true));
    zoom.showModal();
  };
  all(".gallery:not(.small) .frame").forEach((frame) => {
    frame.tabIndex = 0;
    frame.setAttribute("role", "button");
    frame.setAttribute("aria-label", "Enlarge the picture");
    frame.addEventListener("click", () => enlarge(frame));
    frame.addEventListener("keydown", (event) => { if (event.key === "Enter") enlarge(frame); });
  });
  zoom.addEventListener("click", () => zoom.close());

  // A link into a closed part opens it.
  const reveal = () => {
    const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (target && target.tagName === "DETAILS") target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // Values under the pointer, read from the drawn curves.
  const readout = document.getElementById("readout");
  const numbers = (text) => text.split(/[ ML]+/).filter(Boolean).map(Number);
  const round = (value) => Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
  const attach = (svg) => {
    const [left, top, right, bottom] = numbers(svg.dataset.box);
    const [x0, x1] = numbers(svg.dataset.x), [y0, y1] = numbers(svg.dataset.y);
    const lines = all("g.series", svg).filter((group) => !group.classList.contains("faint")).map((group) => ({
      label: group.dataset.label,
      points: all(".curve", group).flatMap((path) => {
        const flat = numbers(path.getAttribute("d"));
        return flat.flatMap((value, index) => index % 2 ? [] : [[value, flat[index + 1]]]);
      }),
    })).filter((line) => line.points.length > 1);
    if (!lines.length) return;
    const guide = document.createElementNS("http://www.w3.org/2000/svg", "line");
    guide.setAttribute("class", "guide"); guide.setAttribute("y1", top); guide.setAttribute("y2", bottom);
    guide.style.display = "none";
    svg.append(guide);
    const hide = () => { guide.style.display = "none"; readout.hidden = true; };
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("pointermove", (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      if (place.x < left || place.x > right) return hide();
      const x = x0 + (place.x - left) / (right - left) * (x1 - x0);
      const rows = lines.map((line) => {
        const near = line.points.reduce((best, point) => Math.abs(point[0] - place.x) < Math.abs(best[0] - place.x) ? point : best);
        return `${line.label}  ${round(y0 + (bottom - near[1]) / (bottom - top) * (y1 - y0))}`;
      });
      const head = svg.dataset.inverse ? (x > 0 ? `${round(1 / x)} Å` : "∞") : round(svg.dataset.log ? Math.exp(x) : x);
      readout.textContent = [head, ...rows].join("\n");
      readout.hidden = false;
      readout.style.left = `${Math.min(event.clientX + 14, innerWidth - readout.offsetWidth - 8)}px`;
      readout.style.top = `${Math.min(event.clientY + 14, innerHeight - readout.offsetHeight - 8)}px`;
      guide.setAttribute("x1", place.x); guide.setAttribute("x2", place.x);
      guide.style.display = "";
    });
  };
  all("svg.chart[data-box]").forEach(attach);

  // The section in view is marked in the navigation.
  const links = new Map(all("nav li a").map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    links.forEach((link) => link.classList.remove("here"));
    links.get(entry.target.id).classList.add("here");
  }), { rootMargin: "-15% 0px -75% 0px" });
  all("main > section").forEach((section) => watch.observe(section));

  root.dataset.ready = "1";
})();
