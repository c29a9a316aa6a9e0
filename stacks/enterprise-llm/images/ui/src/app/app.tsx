import { Entrance } from "../page/entrance";
import { Shell } from "./shell";

export function App() {
  return <Entrance>{(user) => <Shell user={user} />}</Entrance>;
}
