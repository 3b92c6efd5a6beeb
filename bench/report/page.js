// The page's theme: the system's, light or dark.
const theme = document.getElementById("theme");
const THEMES = ["system", "light", "dark"];
function setTheme(name) {
  document.documentElement.dataset.theme = name;
  theme.textContent = `Theme: ${name}`;
  theme.onclick = () => setTheme(THEMES[(THEMES.indexOf(name) + 1) % THEMES.length]);
}
theme.hidden = false;
setTheme("system");
