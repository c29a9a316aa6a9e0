import { useEffect, useState, type FormEvent } from "react";
import { ApiError, words } from "./api/errors";
import { config, identity, learnConfig, login, register } from "./identity";
import { useStore } from "./store";
import { Field } from "./parts/field";
import { clock, useSecondsUntil } from "./parts/hooks";

const SHORTEST_PASSWORD = 12;

export function LoginPage() {
  const settings = useStore(config, (value) => value);
  const reason = useStore(identity, (value) => value.reason);
  const [joining, setJoining] = useState(false);
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [name, setName] = useState("");
  const [sending, setSending] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [until, setUntil] = useState<number | null>(null);
  const left = useSecondsUntil(until);
  const domains = settings?.registration.domains ?? [];
  useEffect(() => void learnConfig(), []);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setSending(true);
    setError(null);
    try {
      await (joining ? register(email.trim(), password, name.trim()) : login(email.trim(), password));
    } catch (caught) {
      setSending(false);
      setError(told(caught));
      if (caught instanceof ApiError && caught.status === 429) setUntil(Date.now() + (caught.retryAfter ?? 10) * 1000);
    }
  }

  return (
    <main className="grid min-h-dvh place-items-center px-5 py-10">
      <div className="w-full max-w-sm">
        <img src="/mark.svg" alt="" width={40} height={40} className="mb-6" />
        <h1 className="text-2xl font-semibold tracking-tight">{joining ? "Create an account" : "Log in"}</h1>
        <p className="mt-1.5 mb-8 text-muted">{settings ? (joining ? `to use ${settings.name}` : `to ${settings.name}`) : "\u00a0"}</p>
        {reason && <p className="note mb-6" role="status">{reason}</p>}
        <form className="flex flex-col gap-5" onSubmit={(event) => void submit(event)}>
          {joining && <Field label="Name" value={name} onChange={setName} autoComplete="name" required maxLength={100} />}
          <Field
            label="E-mail"
            type="email"
            value={email}
            onChange={setEmail}
            autoComplete="username"
            inputMode="email"
            required
            hint={joining && domains.length > 0 ? `An address at ${domains.join(" or ")}.` : undefined}
          />
          <Field
            label="Password"
            type="password"
            value={password}
            onChange={setPassword}
            autoComplete={joining ? "new-password" : "current-password"}
            required
            minLength={joining ? SHORTEST_PASSWORD : undefined}
            hint={joining ? `${SHORTEST_PASSWORD} characters or more.` : undefined}
          />
          {/* Errors are read out when they come, and stay until the next try. */}
          <div role="alert">
            {error && <p className="note danger">{left > 0 ? `Too many tries. You can try again in ${clock(left)}.` : error}</p>}
          </div>
          <button type="submit" className="primary" disabled={sending || left > 0}>
            {sending ? "One moment…" : joining ? "Create the account" : "Log in"}
          </button>
        </form>
        {settings?.registration.open && (
          <p className="mt-8 text-sm text-muted">
            {joining ? "You have an account?" : "You have no account?"}{" "}
            <button
              type="button"
              className="link"
              onClick={() => {
                setJoining(!joining);
                setError(null);
              }}
            >
              {joining ? "Log in" : "Create one"}
            </button>
          </p>
        )}
      </div>
    </main>
  );
}

function told(error: unknown): string {
  if (!(error instanceof ApiError)) return words(error);
  if (error.code === "invalid_credentials") return "The e-mail or the password is wrong.";
  if (error.code === "disabled") return "This account is disabled. An administrator can enable it.";
  if (error.code === "registration_closed") return "No account can be created for this address.";
  if (error.status === 429) return "You can try again now.";
  return error.message;
}
