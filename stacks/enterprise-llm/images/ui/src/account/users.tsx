import { useCallback, useEffect, useRef, useState, type FormEvent } from "react";
import { aborted, words } from "../page/api/errors";
import type { Service } from "../api/service";
import type { Role, User } from "../page/api/types";
import { renamed } from "../page/identity";
import { Dialog } from "../page/parts/dialog";
import { Field } from "../page/parts/field";
import { Icon } from "../page/parts/icons";

interface Props {
  service: Service;
  self: User;
}

/** For administrators: who may log in, and the key that signs their tokens. */
export function UsersPage({ service, self }: Props) {
  const [query, setQuery] = useState("");
  const [users, setUsers] = useState<readonly User[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [asking, setAsking] = useState<"add" | "rotate" | null>(null);
  const [said, setSaid] = useState("");

  const load = useCallback(
    async (cursor: string | null, signal?: AbortSignal) => {
      try {
        const page = await service.users(query, cursor, signal);
        setUsers((now) => (cursor === null ? page.users : [...(now ?? []), ...page.users]));
        setNext(page.next);
        setError(null);
      } catch (caught) {
        if (!aborted(caught)) setError(words(caught));
      }
    },
    [service, query],
  );
  useEffect(() => {
    const control = new AbortController();
    const timer = setTimeout(() => void load(null, control.signal), query === "" ? 0 : 200);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [load, query]);

  async function change(user: User, wanted: { disabled?: boolean; role?: Role }): Promise<void> {
    setError(null);
    try {
      const changed = await service.changeUser(user.id, wanted);
      setUsers((now) => now?.map((one) => (one.id === changed.id ? changed : one)) ?? null);
      renamed(changed);
      setSaid(`${changed.name} is ${changed.disabled ? "disabled" : changed.role === "admin" ? "an administrator" : "a user"}.`);
    } catch (caught) {
      setError(words(caught));
    }
  }

  return (
    <div className="h-full overflow-y-auto px-5 py-8 md:px-8">
      <div className="mx-auto max-w-4xl">
        <div className="mb-7 flex flex-wrap items-center justify-between gap-3">
          <h1 className="text-xl font-semibold tracking-tight">Users</h1>
          <div className="flex gap-2">
            <button type="button" className="secondary" onClick={() => setAsking("rotate")}>Rotate the key</button>
            <button type="button" className="primary" onClick={() => setAsking("add")}><Icon name="plus" /> Add a user</button>
          </div>
        </div>
        <input type="search" className="field mb-5" placeholder="Search by name or e-mail" aria-label="Search users" value={query} onChange={(event) => setQuery(event.target.value)} />
        <p className="sr-only" role="status">{said}</p>
        {error && <p className="note danger mb-5" role="alert">{error}</p>}
        {users?.length === 0 && <p className="py-10 text-center text-muted">Nobody is called “{query}”.</p>}
        {users && users.length > 0 && (
          <ul className="divide-y divide-line rounded-xl border border-line bg-raised">
            {users.map((user) => (
              <UserRow key={user.id} user={user} self={user.id === self.id} onChange={(wanted) => void change(user, wanted)} />
            ))}
          </ul>
        )}
        {next !== null && <button type="button" className="secondary mx-auto mt-5 flex" onClick={() => void load(next)}>Show more</button>}
      </div>
      {asking === "add" && (
        <AddUser
          service={service}
          onClose={() => setAsking(null)}
          onAdded={(user) => {
            setAsking(null);
            setSaid(`${user.name} is added.`);
            setUsers((now) => [user, ...(now ?? [])]);
          }}
        />
      )}
      {asking === "rotate" && <RotateKey service={service} onClose={() => setAsking(null)} />}
    </div>
  );
}

interface RowProps {
  user: User;
  self: boolean;
  onChange: (wanted: { disabled?: boolean; role?: Role }) => void;
}

function UserRow({ user, self, onChange }: RowProps) {
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3">
      <div className="min-w-0 flex-1 basis-40">
        <p className={user.disabled ? "truncate text-muted line-through" : "truncate font-medium"}>
          {user.name}{self && <span className="font-normal text-muted"> (you)</span>}
        </p>
        <p className="truncate text-sm text-muted">{user.email}</p>
      </div>
      {/* Nobody locks themselves out. */}
      <div className="flex gap-2">
      <select className="select" aria-label={`Role of ${user.name}`} value={user.role} disabled={self} onChange={(event) => onChange({ role: event.target.value as Role })}>
        <option value="user">User</option>
        <option value="admin">Administrator</option>
      </select>
      <button type="button" className="secondary w-24" disabled={self} aria-label={`${user.disabled ? "Enable" : "Disable"} ${user.name}`} onClick={() => onChange({ disabled: !user.disabled })}>
        {user.disabled ? "Enable" : "Disable"}
      </button>
      </div>
    </li>
  );
}

function AddUser({ service, onClose, onAdded }: { service: Service; onClose: () => void; onAdded: (user: User) => void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<Role>("user");
  const [error, setError] = useState<string | null>(null);
  const sending = useRef(false);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    if (sending.current) return;
    sending.current = true;
    try {
      onAdded(await service.addUser({ name: name.trim(), email: email.trim(), password, role }));
    } catch (caught) {
      setError(words(caught));
    } finally {
      sending.current = false;
    }
  }

  return (
    <Dialog title="Add a user" onClose={onClose}>
      <form className="flex flex-col gap-5" onSubmit={(event) => void submit(event)}>
        <Field label="Name" value={name} onChange={setName} autoComplete="off" required />
        <Field label="E-mail" type="email" value={email} onChange={setEmail} autoComplete="off" required />
        <Field label="First password" type="password" value={password} onChange={setPassword} autoComplete="new-password" required minLength={12} hint="12 characters or more; they can change it." />
        <label className="flex items-center gap-2.5">
          <input type="checkbox" className="size-4 accent-accent" checked={role === "admin"} onChange={(event) => setRole(event.target.checked ? "admin" : "user")} />
          Administrator
        </label>
        <div role="alert">{error && <p className="note danger">{error}</p>}</div>
        <div className="flex justify-end gap-2">
          <button type="button" className="secondary" onClick={onClose}>Cancel</button>
          <button type="submit" className="primary">Add</button>
        </div>
      </form>
    </Dialog>
  );
}

function RotateKey({ service, onClose }: { service: Service; onClose: () => void }) {
  const [state, setState] = useState<{ kid?: string; error?: string; sending?: boolean }>({});
  async function rotate(): Promise<void> {
    setState({ sending: true });
    try {
      setState({ kid: (await service.rotateKey()).kid });
    } catch (caught) {
      setState({ error: words(caught) });
    }
  }
  return (
    <Dialog title="Rotate the signing key" onClose={onClose}>
      {state.kid === undefined ? (
        <p>Logins are signed with a new key from now on. The old one is still accepted until the last login that it signed has run out, so nobody notices.</p>
      ) : (
        <p role="status">The new key is <code className="break-all">{state.kid}</code>.</p>
      )}
      <div role="alert">{state.error && <p className="note danger mt-4">{state.error}</p>}</div>
      <div className="mt-6 flex justify-end gap-2">
        {state.kid === undefined ? (
          <>
            <button type="button" className="secondary" onClick={onClose}>Cancel</button>
            <button type="button" className="primary" disabled={state.sending} onClick={() => void rotate()}>Rotate</button>
          </>
        ) : (
          <button type="button" className="primary" onClick={onClose}>Done</button>
        )}
      </div>
    </Dialog>
  );
}
