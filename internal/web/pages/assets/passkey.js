// Passkeys are the one thing that browsers give to scripts alone. Each form that waits for one is shown when the browser has them; its button fetches the
// options, asks the authenticator, and submits the answer as an ordinary form.
"use strict";

const fromBase64 = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toBase64 = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const decoded = (options) => {
  const out = { ...options, challenge: fromBase64(options.challenge) };
  if (options.user) out.user = { ...options.user, id: fromBase64(options.user.id) };
  for (const list of ["excludeCredentials", "allowCredentials"]) {
    if (options[list]) out[list] = options[list].map((c) => ({ ...c, id: fromBase64(c.id) }));
  }
  return out;
};

const encoded = (credential) => {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = toBase64(credential.response[name]);
  }
  if (credential.response.getTransports) response.transports = credential.response.getTransports();
  return JSON.stringify({
    id: credential.id,
    rawId: toBase64(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment || undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  });
};

const run = async (form) => {
  const purpose = form.dataset.passkey;
  const answer = await fetch("/second-factor/passkey/begin", { method: "POST", body: new URLSearchParams({ for: purpose }) });
  if (!answer.ok) throw new Error("begin");
  const { options, state } = await answer.json();
  const publicKey = decoded(options.publicKey);
  const credential = purpose === "verify" ? await navigator.credentials.get({ publicKey }) : await navigator.credentials.create({ publicKey });
  form.elements.state.value = state;
  form.elements.response.value = encoded(credential);
  form.submit();
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  const button = form.querySelector("button");
  const fault = form.querySelector("[role=alert]");
  button.addEventListener("click", () => {
    button.disabled = true;
    fault.textContent = "";
    run(form).catch(() => {
      button.disabled = false;
      fault.textContent = "That did not work. Try again, or choose another way.";
    });
  });
}
