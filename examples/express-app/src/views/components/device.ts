const browsers = [
  [/Edg(e|A|iOS)?\//, 'Edge'],
  [/OPR\//, 'Opera'],
  [/SamsungBrowser\//, 'Samsung Internet'],
  [/Firefox\/|FxiOS\//, 'Firefox'],
  [/Chrome\/|CriOS\//, 'Chrome'],
  [/Safari\//, 'Safari'],
] as const

const systems = [
  [/iPhone/, 'an iPhone'],
  [/iPad/, 'an iPad'],
  [/Android/, 'Android'],
  [/Windows/, 'Windows'],
  [/Macintosh/, 'a Mac'],
  [/CrOS/, 'a Chromebook'],
  [/Linux/, 'Linux'],
] as const

/** The browser and the system of a `User-Agent`: `Firefox on Linux`. Other programs have the name that they send: `curl`. */
export function deviceName(userAgent: string): string {
  const browser = firstMatch(browsers, userAgent) ?? (/^[\w.-]+/.exec(userAgent)?.[0] || undefined)
  const system = firstMatch(systems, userAgent)
  if (browser === undefined) return 'Unknown device'
  return system === undefined ? browser : `${browser} on ${system}`
}

export function isPhone(userAgent: string): boolean {
  return /iPhone|Android.*Mobile/.test(userAgent)
}

/** Where an address is, seen from the server: `On this computer`, `In the local network`, or `From` the address. */
export function placeName(address: string): string {
  const ip = address.replace(/^::ffff:/, '')
  if (/^(127\.|::1$)/.test(ip)) return 'On this computer'
  if (/^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|fe80:|f[cd])/i.test(ip))
    return 'In the local network'
  return ip === '' ? 'From an unknown place' : `From ${ip}`
}

function firstMatch(
  names: readonly (readonly [RegExp, string])[],
  text: string,
): string | undefined {
  return names.find(([pattern]) => pattern.test(text))?.[1]
}
