import { CacheError } from '@stowage/core'

export interface Address {
  readonly host: string
  readonly port: number
}

const protocols = ['redis:', 'rediss:']
const exampleUrl = 'redis://user:password@host:6379/0'

export const notAUrl: string = `is not a redis:// or rediss:// URL. Use a URL like ${exampleUrl}, and percent-encode its password (# is %23).`

/**
 * Parses `host:port`; an IPv6 address is in brackets. `option` and `forms` name the option and its forms in the error.
 * @throws CacheError `ERR_CACHE_CONFIG`
 */
export function parseAddress(text: string, option: string, forms = 'host:port'): Address {
  if (!isAddress(text)) {
    throw new CacheError('ERR_CACHE_CONFIG', `redis: each entry of ${option} must be ${forms}.`)
  }
  const url = new URL(`redis://${text}`)
  return { host: hostOf(url), port: Number(url.port) }
}

export function isAddress(text: string): boolean {
  // The parts of a URL other than host and port, and white space, which URL ignores.
  if (/[/?#@\s]/.test(text) || !URL.canParse(`redis://${text}`)) return false
  return new URL(`redis://${text}`).port !== ''
}

/** The host without the brackets that an IPv6 address has in a URL only. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '')
}

/** What is wrong with the URL, and the remedy. `undefined` if the URL is valid. */
export function urlProblem(url: URL): string | undefined {
  if (!protocols.includes(url.protocol)) return notAUrl
  if (url.search !== '' || url.hash !== '') {
    return 'contains "?" or "#". Percent-encode them in a password (%3F, %23), and set other options in code.'
  }
  if (!/^\/?\d*$/.test(url.pathname)) {
    return `has a path that is not a database number. Use a URL like ${exampleUrl}.`
  }
  return canDecode(url) ? undefined : 'contains a "%" that is not an escape. Write it as %25.'
}

function canDecode(url: URL): boolean {
  try {
    decodeURIComponent(url.username + url.password)
    return true
  } catch {
    return false
  }
}
