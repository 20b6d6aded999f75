// Dark or light, the place of what was opened, and whether the program that serves the page is still there.
(function () {
  const KEY = "dlas-dashboard-theme";
  const root = document.documentElement;

  function wanted() {
    const kept = localStorage.getItem(KEY);
    if (kept === "dark" || kept === "light") return kept;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }

  root.dataset.theme = wanted();

  const plain = window.fetch.bind(window);
  window.fetch = async (...request) => {
    try {
      const answer = await plain(...request);
      delete root.dataset.gone;
      return answer;
    } catch (error) {
      if (error.name !== "AbortError") root.dataset.gone = "true";
      throw error;
    }
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    dashboard: {
      theme(clicks) {
        if (clicks) {
          root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
          localStorage.setItem(KEY, root.dataset.theme);
        }
        return root.dataset.theme;
      },
      rectangle(moved) {
        // Only what was drawn is news to the server, not each change of a figure's size.
        return moved && moved.selections && moved.selections.length ? moved : window.dash_clientside.no_update;
      },
      drawn(figure, brush, before) {
        // The front has the brush: what takes longer to draw may follow.
        const same = JSON.stringify(brush) === JSON.stringify(before);
        return figure && !same ? brush : window.dash_clientside.no_update;
      },
      reveal(opened) {
        if (opened && opened.number !== undefined && opened.clicks) {
          const heading = document.getElementById("stack-heading");
          heading.scrollIntoView({ block: "start" });
          heading.focus({ preventScroll: true });
        }
        return "";
      },
      dismiss() {
        return true;
      },
    },
  });

  // Dash gives its slider no name of its own.
  new MutationObserver(() => {
    const thumb = document.querySelector("#place [role=slider]:not([aria-label])");
    if (thumb) thumb.setAttribute("aria-label", "Budget, as a decimal logarithm of milliseconds");
  }).observe(document.body, { childList: true, subtree: true });

  window.dccFunctions = Object.assign({}, window.dccFunctions, {
    milliseconds: (place) => `${Number((10 ** place).toPrecision(3))} ms`,
  });
})();
