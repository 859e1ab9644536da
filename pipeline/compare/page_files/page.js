"use strict";

// Tables: a click on a column head sorts by it; a second click reverses the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const wasAscending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", wasAscending ? "descending" : "ascending");
      const sign = wasAscending ? -1 : 1;
      const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: keyOf(row.cells[column]) }));
      rows.sort((a, b) => sign * compare(a.key, b.key));
      table.tBodies[0].append(...rows.map(({ row }) => row));
    });
  });
}

function keyOf(cell) {
  const text = cell.textContent.trim();
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return typeof a === "number" ? -1 : 1;
}

// The videos of one take play together; one of them has sound.
for (const take of document.querySelectorAll(".take")) {
  const figures = [...take.querySelectorAll("figure")];
  const videos = figures.map((figure) => figure.querySelector("video"));
  const [button, slider] = [take.querySelector("button"), take.querySelector("input")];
  videos.forEach((video) => { video.src = URL.createObjectURL(blobOf(video.dataset.mp4)); delete video.dataset.mp4; });
  const leader = () => videos.reduce((a, b) => (b.duration > a.duration ? b : a));

  const hear = (chosen) => figures.forEach((figure, index) => {
    figure.classList.toggle("heard", index === chosen);
    figure.setAttribute("aria-pressed", String(index === chosen));
    videos[index].muted = index !== chosen;
  });
  figures.forEach((figure, index) => {
    figure.addEventListener("click", () => hear(index));
    figure.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      hear(index);
    });
  });
  hear(Math.min(1, figures.length - 1));

  const seek = (seconds) => videos.forEach((video) => { video.currentTime = Math.min(seconds, video.duration || 0); });
  const pause = () => { videos.forEach((video) => video.pause()); button.textContent = "Play together"; };
  button.addEventListener("click", async () => {
    if (button.textContent === "Pause") return pause();
    if (leader().ended || leader().currentTime >= leader().duration - 0.05) seek(0);
    button.textContent = "Pause";
    await Promise.all(videos.map((video) => video.play().catch(() => undefined)));
  });
  slider.addEventListener("input", () => {
    const seconds = (slider.value / slider.max) * leader().duration;
    seek(seconds);
    if (button.textContent !== "Pause") return;
    // A video that has ended must be started again; play() beyond its end would start it from 0.
    videos.forEach((video) => { if (seconds < video.duration) video.play().catch(() => undefined); });
  });
  videos.forEach((video) => {
    video.addEventListener("ended", () => { if (video === leader()) pause(); });
    video.addEventListener("timeupdate", () => {
      const lead = leader();
      if (video !== lead) {
        if (!video.ended && !lead.seeking && Math.abs(video.currentTime - lead.currentTime) > 0.12) video.currentTime = lead.currentTime;
        return;
      }
      slider.value = (slider.max * lead.currentTime) / lead.duration;
    });
  });
}

function blobOf(base64) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type: "video/mp4" });
}
