import { choose, THEMES, type Theme } from "../theme";
import { Icon, type IconName } from "./icons";
import type { MenuItem } from "./menu";

const LOOKS: Record<Theme, [label: string, icon: IconName]> = {
  system: ["Colours of the system", "system"],
  light: ["Light", "sun"],
  dark: ["Dark", "moon"],
};

/** The choice of colours, as a part of a menu. */
export function lookItems(chosen: Theme): MenuItem[] {
  return THEMES.map((one) => ({
    label: LOOKS[one][0],
    icon: <Icon name={LOOKS[one][1]} size={16} />,
    checked: one === chosen,
    act: () => choose(one),
  }));
}
