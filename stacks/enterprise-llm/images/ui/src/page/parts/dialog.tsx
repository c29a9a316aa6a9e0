import { useEffect, useId, useRef, type ReactNode } from "react";
import { Icon } from "./icons";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
  /** A drawer comes from the side and shows no title. */
  drawer?: boolean;
}

/** The browser's own modal dialog: it keeps the focus inside, closes with Esc, and gives the focus back. */
export function Dialog({ title, onClose, children, drawer = false }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const shown = dialog.current;
    const before = document.activeElement;
    shown?.showModal();
    return () => {
      shown?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    // The backdrop is part of the dialog; the keyboard has Esc.
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-noninteractive-element-interactions
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      className={drawer ? "drawer" : "card"}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === event.currentTarget && onClose()}
    >
      {drawer ? (
        <h2 id={heading} className="sr-only">{title}</h2>
      ) : (
        <header className="mb-5 flex items-center justify-between gap-4">
          <h2 id={heading} className="text-base font-semibold">{title}</h2>
          <button type="button" className="quiet -mr-2" aria-label="Close" onClick={onClose}>
            <Icon name="close" />
          </button>
        </header>
      )}
      {children}
    </dialog>
  );
}
