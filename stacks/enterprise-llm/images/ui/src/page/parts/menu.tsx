import { useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";

export interface MenuItem {
  label: string;
  icon?: ReactNode;
  act: () => void;
  /** Part of a choice: whether it is the one that holds. */
  checked?: boolean;
  danger?: boolean;
  /** A line above it. */
  apart?: boolean;
}

interface Props {
  label: string;
  className: string;
  items: readonly MenuItem[];
  /** What the button shows. */
  children: ReactNode;
  /** The button shows words, which name it. */
  worded?: boolean;
  onToggle?: (open: boolean) => void;
}

const GAP = 6;

/** A button and its menu, in the browser's top layer, with the arrow keys as the ARIA practices want them. */
export function Menu({ label, className, items, children, worded = false, onToggle }: Props) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const entries = () => [...(list.current?.querySelectorAll<HTMLElement>("[role^=menuitem]") ?? [])];

  function place(): void {
    const at = button.current?.getBoundingClientRect();
    const box = list.current;
    if (!at || !box) return;
    const { offsetWidth: width, offsetHeight: height } = box;
    const below = at.bottom + GAP + height < innerHeight;
    box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
    box.style.top = `${below ? at.bottom + GAP : Math.max(8, at.top - GAP - height)}px`;
  }

  function keys(event: KeyboardEvent): void {
    const all = entries();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === "Tab") list.current?.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    all.at(to % all.length)?.focus();
  }

  return (
    <>
      <button
        ref={button}
        type="button"
        className={className}
        aria-label={worded ? undefined : label}
        aria-haspopup="menu"
        aria-expanded={open}
        popoverTarget={id}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
          event.preventDefault();
          list.current?.showPopover();
        }}
      >
        {children}
      </button>
      <div
        ref={list}
        id={id}
        popover="auto"
        role="menu"
        tabIndex={-1}
        aria-label={label}
        className="menu"
        onKeyDown={keys}
        onToggle={(event) => {
          const shown = event.newState === "open";
          setOpen(shown);
          onToggle?.(shown);
          if (!shown) return;
          place();
          entries()[0]?.focus();
        }}
      >
        {items.map((item) => (
          <button
            key={item.label}
            type="button"
            role={item.checked === undefined ? "menuitem" : "menuitemradio"}
            aria-checked={item.checked}
            tabIndex={-1}
            data-danger={item.danger || undefined}
            data-apart={item.apart || undefined}
            onClick={() => {
              list.current?.hidePopover();
              item.act();
            }}
          >
            {item.icon}
            <span>{item.label}</span>
          </button>
        ))}
      </div>
    </>
  );
}
