const IPV4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/
const DNS_NAME = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*$/
const IPV6 = /^\[([0-9A-Fa-f:.]{2,45})(%[A-Za-z0-9._-]+)?\]$/

/**
 * One way to write a host, since a member is who its address says: names and hex digits in lower case, IPv6 as short as it
 * gets, no zeros in front. Null for what is neither IPv4, nor `[v6]` with or without a zone, nor a DNS name.
 */
export function canonicalHost(text: string): string | null {
  if (isIpv4(text)) return text.split('.').map(Number).join('.')
  const inBrackets = IPV6.exec(text)
  if (inBrackets) return canonicalIpv6(inBrackets[1]!, inBrackets[2] ?? '')
  // Digits and dots alone are an IPv4 address that somebody mistyped.
  return DNS_NAME.test(text) && !/^[\d.]+$/.test(text) ? text.toLowerCase() : null
}

export function isIpv4(host: string): boolean {
  return IPV4.test(host)
}

function canonicalIpv6(address: string, zone: string): string | null {
  const url = `http://[${address}]`
  return URL.canParse(url) ? `${new URL(url).hostname.slice(0, -1)}${zone}]` : null
}
