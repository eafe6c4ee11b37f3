// Who is looking. With keystone somebody must sign in first; what they write goes to the API alone, which answers with a
// cookie that no script can read.

import { ask, Fault } from "./api.js";
import { h } from "./dom.js";

const WHERE = "ui/session";

export const session = () => ask("GET", WHERE);
export const signOut = () => ask("DELETE", WHERE);

// Whether somebody must sign in before anything is shown.
export const closed = ({ auth, user }) => auth !== "noauth" && user === null;

export function signingIn({ done, notice = null }) {
  async function submit(event) {
    event.preventDefault();
    const { username, password, project, user_domain, project_domain } = event.target.elements;
    const body = {
      username: username.value,
      password: password.value,
      project: project.value,
      user_domain: user_domain.value || "Default",
      project_domain: project_domain.value || "Default",
    };
    const said = event.target.querySelector(".said");
    said.textContent = "Signing in…";
    try {
      done(await ask("POST", WHERE, { body }));
    } catch (fault) {
      password.value = "";
      said.textContent = fault instanceof Fault && fault.code === 401 ? `${fault.message}` : `It didn’t work: ${fault.message}`;
      password.focus();
    }
  }
  const field = (name, told, more = {}) => h("label", null, told, h("input", { name, required: true, maxlength: "255", spellcheck: "false", autocapitalize: "none", ...more }));
  return [
    h("h1", { tabindex: "-1" }, "Sign in"),
    notice && h("p", { class: "faint" }, notice),
    h(
      "form",
      { class: "sign-in", on: { submit } },
      field("username", "User name", { autocomplete: "username" }),
      field("password", "Password", { type: "password", autocomplete: "current-password", maxlength: "4096" }),
      field("project", "Project", { autocomplete: "off" }),
      h(
        "details",
        null,
        h("summary", null, "Domains"),
        field("user_domain", "User’s domain", { required: false, placeholder: "Default", autocomplete: "off" }),
        field("project_domain", "Project’s domain", { required: false, placeholder: "Default", autocomplete: "off" }),
      ),
      h("p", { class: "said bad", role: "alert" }),
      h("button", { type: "submit", class: "main" }, "Sign in"),
    ),
    h("p", { class: "faint small" }, "These are keystone’s user, password and project, as in clouds.yaml."),
  ];
}
