import { useState } from "react";
import type { User } from "../api/types";
import { logout } from "../app/identity";
import { go } from "../app/route";
import { choose, theme, THEMES, type Theme } from "../app/theme";
import type { Service } from "../api/service";
import { useStore } from "../chat/store";
import { Icon, type IconName } from "../parts/icons";
import { Menu } from "../parts/menu";
import { PasswordDialog } from "./password";

const LOOKS: Record<Theme, [label: string, icon: IconName]> = {
  system: ["Colours of the system", "system"],
  light: ["Light", "sun"],
  dark: ["Dark", "moon"],
};

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
          ...THEMES.map((one) => ({
            label: LOOKS[one][0],
            icon: <Icon name={LOOKS[one][1]} size={16} />,
            checked: one === chosen,
            act: () => choose(one),
          })),
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
        <span aria-hidden="true" className="grid size-8 shrink-0 place-items-center rounded-full bg-accent-soft text-sm font-semibold text-accent">
          {initials(user.name || user.email)}
        </span>
        <span className="min-w-0">
          <span className="block truncate text-sm font-medium"><span className="sr-only">Account of </span>{user.name || user.email}</span>
          <span className="block truncate text-xs text-muted">{user.email}</span>
        </span>
      </Menu>
      {changing && <PasswordDialog service={service} onClose={() => setChanging(false)} />}
    </>
  );
}

function initials(name: string): string {
  const [first = "", ...others] = name.split(/[\s@]+/).filter(Boolean);
  const letter = (word: string) => [...word][0]?.toUpperCase() ?? "";
  return letter(first) + (others.length > 0 && !name.includes("@") ? letter(others.at(-1) ?? "") : "");
}
