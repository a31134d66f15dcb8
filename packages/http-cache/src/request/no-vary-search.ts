import type { QueryOptions } from './query.ts'

const strings = '\\(\\s*((?:"[^"\\\\]*"\\s*)*)\\)'
const keyOrder = /^key-order(?:=\?([01]))?$/
const params = new RegExp(`^params(?:=(?:\\?([01])|${strings}))?$`)
const except = new RegExp(`^except=${strings}$`)

/**
 * Parses `No-Vary-Search`, with which a response says which parameters of the query it does not depend on. Returns
 * `undefined` if the header is absent or invalid: then all of them count.
 *
 * @see https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-no-vary-search section 4.1
 */
export function parseNoVarySearch(value: string | undefined): QueryOptions | undefined {
  if (value === undefined) return undefined
  let sort = false
  let ignore: readonly string[] | undefined
  let exceptions: readonly string[] | undefined
  let ignoresAll = false
  for (const member of value.split(',').map((text) => text.trim())) {
    const order = keyOrder.exec(member)
    const list = params.exec(member)
    const exempt = except.exec(member)
    if (order !== null) sort = order[1] !== '0'
    else if (list !== null) {
      ignore = list[2] === undefined ? undefined : namesIn(list[2])
      ignoresAll = list[2] === undefined && list[1] !== '0'
    } else if (exempt !== null) exceptions = namesIn(exempt[1] as string)
    else return undefined
  }
  // Only with all parameters may there be exceptions. A star at the end has a meaning of its own here.
  if (exceptions !== undefined && !ignoresAll) return undefined
  if ([...(ignore ?? []), ...(exceptions ?? [])].some((name) => name.endsWith('*')))
    return undefined
  return { sort, ...(ignore && { ignore }), ...(ignoresAll && { only: exceptions ?? [] }) }
}

function namesIn(list: string): string[] {
  return [...list.matchAll(/"([^"]*)"/g)].map(([, name]) => decode(name as string))
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', ' '))
  } catch {
    return name
  }
}
