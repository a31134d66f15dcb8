import { CacheError } from '@stowage/core'
import { checkChoice } from '@stowage/core/driver'

/** The parameter of a URL that says which server may be used, as in libpq. */
const parameter = 'target_session_attrs'
const targets = ['read-write', 'primary']
const parts = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)([^/?#@]*)(.*)$/is

/**
 * Returns a URL without a host, as for a socket that its parameter `host` names, with one: `URL` does not accept it otherwise,
 * and the client prefers the parameter.
 */
export function withAnyHost(url: string): string {
  return url.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)(?=[/?#])/i, '$1localhost')
}

/**
 * Returns a URL for each host of one that names several: `postgres://user@a:5432,b:5432/app`. `undefined` if it is invalid.
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
 */
export function hostUrls(url: string): string[] | undefined {
  const [, start = '', hosts = '', end = ''] = parts.exec(withAnyHost(url)) ?? []
  const urls = hosts.split(',').map((host) => start + host + end)
  return urls.every((each) => parts.test(each) && URL.canParse(each)) ? urls : undefined
}

/**
 * Whether the URL requires a server that accepts writes.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` if it requires another one
 */
export function requiresPrimary(url: string): boolean {
  const value = new URL(url).searchParams.get(parameter)
  if (value === null) return false
  checkChoice(`postgres: ${parameter} of url`, value, targets)
  return true
}

/** Whether `requiresPrimary` accepts a valid URL of one host or several. */
export function hasKnownTarget(url: string): boolean {
  const [first] = hostUrls(url) ?? []
  const value = first === undefined ? null : new URL(first).searchParams.get(parameter)
  return value === null || targets.includes(value)
}

/** Returns the URL without the parameter, which the client does not know. */
export function withoutTarget(url: string): string {
  if (!url.includes(parameter)) return url
  const parsed = new URL(url)
  parsed.searchParams.delete(parameter)
  return parsed.href
}

/** Returns the URL of another server with the settings of `url`. */
export function withHost(url: string, address: string): string {
  const [, start = '', , end = ''] = parts.exec(url) ?? []
  return start + address + end
}

/** Returns the URL of a replica with the database of the primary, whose writes are in no other one. */
export function withDatabaseOf(primary: string, replica: string): string {
  const parsed = new URL(replica)
  parsed.pathname = new URL(hostUrls(primary)?.[0] ?? primary).pathname
  return parsed.href
}

/** Returns `host:port` of a URL, for reports. */
export function addressOf(url: string): string {
  const { hostname, port } = new URL(url)
  return `${hostname}:${port || '5432'}`
}

/**
 * Returns a URL if the variables of libpq name several hosts. The client would take their list for the name of one.
 *
 * @throws CacheError `ERR_CACHE_CONFIG`
 * @see https://www.postgresql.org/docs/current/libpq-envars.html
 */
function urlOfVariables({
  PGHOST = '',
  PGPORT = '',
  PGTARGETSESSIONATTRS: target,
}: NodeJS.ProcessEnv): string | undefined {
  if (!PGHOST.includes(',')) return undefined
  const hosts = PGHOST.split(',').map((host) => host.trim())
  const ports = PGPORT.split(',').map((port) => port.trim())
  const authorities = hosts.map((host, index) => {
    const name = host.includes(':') ? `[${host}]` : encodeURIComponent(host)
    return `${name}:${ports.length === 1 ? ports[0] : ports[index]}`
  })
  const url = `postgres://${authorities}/${target ? `?${parameter}=${target}` : ''}`
  if ((ports.length === 1 || ports.length === hosts.length) && hostUrls(url) !== undefined) {
    return url
  }
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'postgres: PGHOST and PGPORT are not valid. Use a list of hosts, and one port or one for each host.',
  )
}

/**
 * Returns the hosts of a URL, or of the variables of libpq. `undefined` if they name one, which is used as it is.
 *
 * @throws CacheError `ERR_CACHE_CONFIG`
 */
export function hostsOf(given: string | undefined): Hosts | undefined {
  const url = given ?? urlOfVariables(process.env)
  if (url === undefined) return undefined
  const urls = hostUrls(url) ?? []
  const isRequired = urls[0] !== undefined && requiresPrimary(urls[0])
  return urls.length > 1 || isRequired ? new Hosts(urls) : undefined
}

/** Several hosts, of which one is the primary. `current` is where the primary was seen last, or the next one to try. */
export class Hosts {
  readonly urls: readonly string[]
  #index = 0
  /** That of the newest primary seen. One with an older timeline was replaced, and may accept writes again after a restart. */
  #timeline = 0

  constructor(urls: readonly string[]) {
    this.urls = urls
  }

  get current(): string {
    return this.urls[this.#index] as string
  }

  /** Must be called when a host fails, or is not the primary. The next one is used then. */
  leave(url: string): void {
    if (url === this.current) this.#index = (this.#index + 1) % this.urls.length
  }

  /** The same for the host of a client whose connection has failed. */
  leaveHostOf(client: object): void {
    const { url } = client as { readonly url?: string }
    if (url !== undefined) this.leave(url)
  }

  /** Must be called when a host accepts writes. Returns whether it is the newest primary. */
  confirm(url: string, timeline: number): boolean {
    if (timeline < this.#timeline) return false
    this.#timeline = timeline
    this.#index = this.urls.indexOf(url)
    return true
  }
}
