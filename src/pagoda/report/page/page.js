// Draws the charts that the data block describes. The C++ side decides what is shown and in which words; this side only draws, formats
// figures, and answers the pointer.
(() => {
  "use strict";
  const run = JSON.parse(document.getElementById("run-data").textContent);
  const root = document.documentElement;
  const tone = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const whole = (value) => Math.round(value).toLocaleString("en");
  const rounded = (value) => (value < 1000 ? value.toLocaleString("en", { maximumSignificantDigits: 3 }) : whole(value));

  // The largest unit that is not above `value`.
  const pick = (units, value) => units.reduce((best, unit) => (value >= unit.size ? unit : best), units[0]);
  const timeUnits = [{ name: "ns", size: 1 }, { name: "µs", size: 1e3 }, { name: "ms", size: 1e6 }, { name: "s", size: 1e9 }];
  const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB"].map((name, power) => ({ name, size: 1024 ** power }));
  const inUnit = (units, value) => {
    const unit = pick(units, value);
    return rounded(value / unit.size) + " " + unit.name;
  };
  const timeText = (ns) => (ns === 0 ? "0 s" : inUnit(timeUnits, ns));
  const bytesText = (pages) => inUnit(byteUnits, pages * run.page_bytes);

  const end = run.time_ns[run.time_ns.length - 1];
  const timeUnit = pick(timeUnits, end / 2);
  const interval = (index) => (index === 0 ? 0 : run.time_ns[index] - run.time_ns[index - 1]);

  // What the figures of a chart mean: how a value becomes a height, an axis label, and words.
  function measure(spec) {
    const tallest = Math.max(spec.top, spec.reach, ...spec.series.flatMap((series) => series.values));
    if (spec.unit === "pages") {
      const unit = pick(byteUnits, tallest * run.page_bytes);
      return {
        height: (pages) => (pages * run.page_bytes) / unit.size,
        axis: (value) => rounded(value) + " " + unit.name,
        words: (pages) => whole(pages) + (pages === 1 ? " page" : " pages") + " (" + bytesText(pages) + ")",
      };
    }
    const perSecond = (value, index) => (interval(index) > 0 ? value / (interval(index) / 1e9) : 0);
    if (spec.unit === "pages_per_interval") {
      const fastest = Math.max(...spec.series.flatMap((series) => series.values.map(perSecond)));
      const unit = pick(byteUnits, fastest * run.page_bytes);
      return {
        height: (pages, index) => (perSecond(pages, index) * run.page_bytes) / unit.size,
        axis: (value) => rounded(value) + " " + unit.name + "/s",
        words: (pages, index) => whole(pages) + (pages === 1 ? " page" : " pages") + " (" + bytesText(perSecond(pages, index)) + "/s)",
      };
    }
    return {
      height: perSecond,
      axis: (value) => rounded(value) + "/s",
      words: (count, index) => whole(count) + " (" + rounded(perSecond(count, index)) + "/s)",
    };
  }

  // Vertical lines at moments that matter, under the tooltip.
  const marks = {
    id: "marks",
    afterDatasetsDraw(chart) {
      const { ctx, chartArea, scales } = chart;
      for (const mark of chart.spec.marks) {
        const x = scales.x.getPixelForValue(mark.time_ns / timeUnit.size);
        ctx.save();
        ctx.strokeStyle = ctx.fillStyle = tone("muted");
        ctx.setLineDash([3, 3]);
        ctx.beginPath();
        ctx.moveTo(x, chartArea.top);
        ctx.lineTo(x, chartArea.bottom);
        ctx.stroke();
        ctx.font = "11px " + Chart.defaults.font.family;
        const right = x + 5 + ctx.measureText(mark.label).width > chartArea.right;
        ctx.textAlign = right ? "right" : "left";
        ctx.fillText(mark.label, right ? x - 4 : x + 4, chartArea.top + 10);
        ctx.restore();
      }
    },
  };
  // The same moment in every chart, wherever the pointer is.
  const cursor = {
    id: "cursor",
    afterEvent(chart, { event, inChartArea }) {
      const at = event.type === "mouseout" || !inChartArea ? null : chart.scales.x.getValueForPixel(event.x);
      for (const other of charts) {
        const line = other.canvas.parentNode.querySelector(".cursor");
        line.style.opacity = at === null ? 0 : 0.55;
        if (at !== null) {
          line.style.left = other.scales.x.getPixelForValue(at) + "px";
          line.style.top = other.chartArea.top + "px";
          line.style.height = other.chartArea.bottom - other.chartArea.top + "px";
          line.style.bottom = "auto";
        }
      }
    },
  };

  function dataset(spec, series, index, units) {
    if (series.values.length !== run.time_ns.length) {
      throw new Error(`${spec.id}: "${series.label}" has ${series.values.length} values for ${run.time_ns.length} samples`);
    }
    const area = series.style === "area";
    return {
      series,
      label: series.label,
      data: series.values.map((value, at) => ({ x: run.time_ns[at] / timeUnit.size, y: units.height(value, at) })),
      stepped: spec.per_interval ? "after" : false,
      fill: area ? (spec.stacked && index > 0 ? "-1" : "origin") : false,
      borderDash: series.style === "dashed" ? [6, 4] : [],
      borderJoinStyle: "round",
      pointRadius: 0,
      pointHoverRadius: spec.stacked ? 0 : 3,
      pointHitRadius: 0,
      order: area ? 1 : 0,  // Lines lie on top of areas.
    };
  }

  function paint(chart) {
    chart.data.datasets.forEach((set, index) => {
      const { style } = set.series;
      const colour = tone(set.series.tone);
      const below = chart.data.datasets[index - 1];
      set.backgroundColor = colour;
      set.pointHoverBackgroundColor = colour;
      set.borderColor = colour;
      set.borderWidth = style === "area" ? (chart.spec.per_interval ? 0 : 1) : 1.75;
      // Where more is wanted than there is: the gap is what the disk has to make up for.
      if (style === "demand" && below) set.fill = { target: "-1", above: tone("hard-soft"), below: "transparent" };
    });
    for (const axis of Object.values(chart.options.scales)) {
      axis.grid.color = tone("grid");
      axis.grid.borderColor = tone("rule");
      axis.ticks.color = tone("muted");
    }
  }

  function options(spec, units) {
    const stacked = spec.stacked;
    return {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      parsing: false,
      normalized: true,
      interaction: { mode: "index", intersect: false },
      layout: { padding: { top: 4, right: 12 } },
      scales: {
        x: {
          type: "linear",
          min: 0,
          max: end / timeUnit.size,
          grid: { tickLength: 4, drawOnChartArea: false },
          ticks: { includeBounds: false, maxRotation: 0, autoSkipPadding: 24, callback: (value) => rounded(value) + " " + timeUnit.name },
        },
        y: {
          min: 0,
          max: spec.top > 0 ? units.height(spec.top, 0) : undefined,
          suggestedMax: spec.reach > 0 ? units.height(spec.reach, 0) : undefined,
          stacked,
          grid: { drawTicks: false },
          ticks: { includeBounds: true, maxTicksLimit: 7, padding: 8, callback: units.axis },
          afterFit: (scale) => { scale.width = Math.max(scale.width, 76); },  // Time axes above each other line up.
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          position: "nearest",
          itemSort: (a, b) => (stacked ? b.datasetIndex - a.datasetIndex : a.datasetIndex - b.datasetIndex),
          filter: (item) => !stacked || item.dataset.series.values[item.dataIndex] > 0,
          multiKeyBackground: "transparent",
          boxWidth: 10,
          boxHeight: 10,
          boxPadding: 4,
          callbacks: {
            title: (items) => {
              if (items.length === 0) return "";
              const at = items[0].dataIndex;
              const now = timeText(run.time_ns[at]);
              return spec.per_interval && at > 0 ? `the ${timeText(interval(at))} before ${now}` : "at " + now;
            },
            label: (item) => item.dataset.label + ": " + units.words(item.dataset.series.values[item.dataIndex], item.dataIndex),
            labelColor: (item) => ({ backgroundColor: tone(item.dataset.series.tone), borderColor: "transparent", borderWidth: 0 }),
          },
        },
      },
    };
  }

  function addLegend(chart, list) {
    for (const [index, set] of chart.data.datasets.entries()) {
      const item = document.createElement("li");
      const button = document.createElement("button");
      const swatch = document.createElement("i");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      swatch.className = set.series.style === "area" ? "" : set.series.style === "dashed" ? "dashed" : "line";
      swatch.style.setProperty(set.series.style === "area" ? "background" : "border-top-color", `var(--${set.series.tone})`);
      button.append(swatch, set.label);
      button.addEventListener("click", () => {
        const visible = !chart.isDatasetVisible(index);
        chart.setDatasetVisibility(index, visible);
        chart.update("none");
        button.setAttribute("aria-pressed", String(visible));
      });
      item.append(button);
      list.append(item);
    }
  }

  // The values of a chart as a table, made when somebody opens it.
  function fillTable(spec, units, details) {
    if (details.querySelector("table")) return;
    const cell = (row, kind, text) => {
      const element = document.createElement(kind);
      element.textContent = text;
      if (row.cells.length > 0) element.className = "n";
      row.append(element);
    };
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const title of ["Virtual time", ...spec.series.map((series) => series.label)]) cell(head, "th", title);
    const body = table.createTBody();
    for (let at = 0; at < run.time_ns.length; at += 1) {
      const row = body.insertRow();
      cell(row, "th", timeText(run.time_ns[at]));
      for (const series of spec.series) cell(row, "td", units.words(series.values[at], at));
    }
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.append(table);
    details.append(scroll);
  }

  // How many pixels the data of a chart changes: axes and grid do not count.
  function inkOf(chart) {
    // Read from a copy: a canvas that is read back loses its acceleration, and the browser says so on the console.
    const copy = document.createElement("canvas");
    const { width, height } = Object.assign(copy, { width: chart.canvas.width, height: chart.canvas.height });
    const context = copy.getContext("2d", { willReadFrequently: true });
    const pixels = () => {
      context.clearRect(0, 0, width, height);
      context.drawImage(chart.canvas, 0, 0);
      return context.getImageData(0, 0, width, height).data;
    };
    let before = null;
    let ink = 0;
    chart.inkHooks = {
      before: () => { before = pixels(); },
      after: () => {
        const after = pixels();
        for (let i = 0; i < after.length; i += 4) {
          if (after[i] !== before[i] || after[i + 1] !== before[i + 1] || after[i + 2] !== before[i + 2] || after[i + 3] !== before[i + 3]) ink += 1;
        }
      },
    };
    chart.draw();
    chart.inkHooks = null;
    return ink;
  }
  const inkMeter = {
    id: "inkMeter",
    beforeDatasetsDraw: (chart) => { if (chart.inkHooks) chart.inkHooks.before(); },
    afterDatasetsDraw: (chart) => { if (chart.inkHooks) chart.inkHooks.after(); },
  };
  // Opened as report.html#self-check, the page writes into its root element how its charts came out.
  function selfCheck() {
    let blank = document.querySelectorAll("canvas").length - charts.length;
    for (const chart of charts) {
      const ink = inkOf(chart);
      chart.canvas.dataset.ink = ink;
      if (ink < chart.canvas.width) blank += 1;  // Even a flat line covers the width once.
    }
    Object.assign(root.dataset, { charts: charts.length, blank, errors: window.pageErrors.length,
      firstError: window.pageErrors[0] || "", selfCheck: "done" });
  }

  const charts = [];
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.font.size = 12;
  const repaint = (update) => {
    for (const chart of charts) {
      paint(chart);
      update(chart);
    }
  };
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => repaint((chart) => chart.update("none")));
  window.addEventListener("beforeprint", () => {
    root.classList.add("printing");
    repaint((chart) => { chart.resize(); chart.update("none"); });
  });
  window.addEventListener("afterprint", () => {
    root.classList.remove("printing");
    repaint((chart) => { chart.resize(); chart.update("none"); });
  });
  // Before anything is drawn: what goes wrong while drawing is part of the result.
  // Where virtual time passes without a frame, as on a busy machine, the timer checks; checking twice changes nothing.
  if (location.hash === "#self-check") {
    window.addEventListener("load", () => {
      requestAnimationFrame(selfCheck);
      setTimeout(selfCheck, 1000);
    });
  }

  for (const spec of run.charts) {
    const figure = document.getElementById(spec.id);
    const units = measure(spec);
    const config = {
      type: "line",
      data: { datasets: spec.series.map((series, index) => dataset(spec, series, index, units)) },
      options: options(spec, units),
      plugins: [inkMeter, marks, cursor],
    };
    const canvas = figure.querySelector("canvas");
    const colours = { spec, data: config.data, options: config.options };
    paint(colours);
    const chart = new Chart(canvas, { ...config, plugins: [{ id: "spec", beforeInit: (made) => { made.spec = spec; } }, ...config.plugins] });
    charts.push(chart);
    addLegend(chart, figure.querySelector(".legend"));
    const details = figure.querySelector("details");
    details.addEventListener("toggle", () => fillTable(spec, units, details));
  }
})();
