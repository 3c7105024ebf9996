// Sign-in goes to this origin's own route, which answers with an HttpOnly cookie: no script ever holds the token.

async function signIn(form, error) {
  const button = form.querySelector("button");
  button.disabled = true;
  error.hidden = true;
  try {
    const answer = await fetch("/auth/sign-in", {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ email: form.email.value.trim(), password: form.password.value }),
    });
    if (answer.ok) {
      location.reload();
      return;
    }
    const problem = await answer.json().catch(() => ({}));
    error.textContent = problem.detail || problem.title || `The server answered ${answer.status}.`;
    form.password.select();
  } catch {
    error.textContent = "No answer from the server. Try again in a moment.";
  }
  error.hidden = false;
  button.disabled = false;
}

export default function ({ parentElement }) {
  const form = parentElement.querySelector("form");
  form.onsubmit = (event) => {
    event.preventDefault();
    signIn(form, parentElement.querySelector(".error"));
  };
}
