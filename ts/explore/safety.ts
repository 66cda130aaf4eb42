// Who may ask a server on this machine: pages that it served itself, under names that no stranger can point here.
import { isIP } from "node:net";

/**
 * Whether a request's Host and Origin are those of the explorer's own page. A stranger's page can make a browser send
 * requests here, by this machine's address (then Origin is the stranger's) or by a name of its own that it lets point here
 * (DNS rebinding; then Host is that name). Neither can forge localhost, an address, or `own`.
 */
export function isTrusted(host: string | undefined, origin: string | undefined, own?: string): boolean {
  if (!host || !URL.canParse(`http://${host}`)) return false;
  const url = new URL(`http://${host}`);
  const name = url.hostname.replace(/^\[|\]$/g, "");
  if (name !== "localhost" && name !== own && isIP(name) === 0) return false;
  return origin === undefined || origin === url.origin;
}
