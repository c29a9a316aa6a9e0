import { useState, type FormEvent } from "react";
import { ApiError, words } from "../page/api/errors";
import type { Service } from "../api/service";
import { Dialog } from "../page/parts/dialog";
import { Field } from "../page/parts/field";

export function PasswordDialog({ service, onClose }: { service: Service; onClose: () => void }) {
  const [current, setCurrent] = useState("");
  const [replacement, setReplacement] = useState("");
  const [state, setState] = useState<"asking" | "sending" | "done">("asking");
  const [error, setError] = useState<string | null>(null);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setState("sending");
    setError(null);
    try {
      await service.changePassword(current, replacement);
      setState("done");
    } catch (caught) {
      setState("asking");
      const wrong = caught instanceof ApiError && ["wrong_password", "invalid_credentials"].includes(caught.code);
      setError(wrong ? "The current password is wrong." : words(caught));
    }
  }

  return (
    <Dialog title="Change the password" onClose={onClose}>
      {state === "done" ? (
        <div className="flex flex-col gap-5">
          <p role="status">The password is changed. Other devices have to log in again.</p>
          <button type="button" className="primary" onClick={onClose}>Done</button>
        </div>
      ) : (
        <form className="flex flex-col gap-5" onSubmit={(event) => void submit(event)}>
          <Field label="Current password" type="password" value={current} onChange={setCurrent} autoComplete="current-password" required />
          <Field label="New password" type="password" value={replacement} onChange={setReplacement} autoComplete="new-password" required minLength={12} hint="12 characters or more. Other devices are logged out." />
          <div role="alert">{error && <p className="note danger">{error}</p>}</div>
          <div className="flex justify-end gap-2">
            <button type="button" className="secondary" onClick={onClose}>Cancel</button>
            <button type="submit" className="primary" disabled={state === "sending"}>Change it</button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
