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

  window.dccFunctions = Object.assign({}, window.dccFunctions, {
    milliseconds: (place) => `${Number((10 ** place).toPrecision(3))} ms`,
  });
})();
