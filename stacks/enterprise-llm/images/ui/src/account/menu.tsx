import { useState } from "react";
import type { User } from "../page/api/types";
import { logout } from "../page/identity";
import { go } from "../app/route";
import { theme } from "../page/theme";
import type { Service } from "../api/service";
import { useStore } from "../page/store";
import { Initials } from "../page/parts/initials";
import { lookItems } from "../page/parts/looks";
import { Menu } from "../page/parts/menu";
import { PasswordDialog } from "./password";

interface Props {
  user: User;
  service: Service;
  onShortcuts: () => void;
  /** Something was chosen that leads elsewhere. */
  onLeave: () => void;
}

export function AccountMenu({ user, service, onShortcuts, onLeave }: Props) {
  const chosen = useStore(theme, (value) => value);
  const [changing, setChanging] = useState(false);
  return (
    <>
      <Menu
        label="Account"
        worded
        className="flex w-full items-center gap-3 rounded-lg px-2 py-2 text-left hover:bg-hover"
        items={[
          ...lookItems(chosen),
          { label: "Keyboard shortcuts", apart: true, act: onShortcuts },
          { label: "Change the password", act: () => setChanging(true) },
          ...(user.role === "admin"
            ? [
                {
                  label: "Users and keys",
                  act: () => {
                    onLeave();
                    go("/users");
                  },
                },
              ]
            : []),
          { label: "Log out", apart: true, act: () => void logout() },
        ]}
      >
        <Initials name={user.name || user.email} />
        <span className="min-w-0">
          <span className="block truncate text-sm font-medium"><span className="sr-only">Account of </span>{user.name || user.email}</span>
          <span className="block truncate text-xs text-muted">{user.email}</span>
        </span>
      </Menu>
      {changing && <PasswordDialog service={service} onClose={() => setChanging(false)} />}
    </>
  );
}
