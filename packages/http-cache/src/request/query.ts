/** Which parameters of a query belong to the key. */
export interface QueryOptions {
  /**
   * Whether queries that differ only in the order of parameters of different names have one key. The order of parameters
   * of the same name always counts. @default true
   */
  readonly sort?: boolean | undefined
  /** Names of parameters that do not affect the response, such as `utm_source`. `*` at the end stands for any rest. */
  readonly ignore?: readonly string[] | undefined
  /** The only parameters that affect the response. @default all */
  readonly only?: readonly string[] | undefined
}

/**
 * Parsers such as those of Express ignore what follows that many parameters. The order and the number of parameters then
 * determine which of them a handler reads.
 */
const maxParameters = 1_000

/** Returns the path and the query of a URL as they are part of the key. @param url begins with `/` */
export function normalizeUrl(url: string, options: QueryOptions | undefined): string {
  const start = url.indexOf('?')
  if (start < 0) return url
  const query = url.slice(start + 1)
  if (query === '') return url.slice(0, start)
  const path = url.slice(0, start)
  const parameters = query.split('&')
  if (parameters.length === 1 && options === undefined) return url
  const normalized = normalizeParameters(parameters, options ?? {})
  return normalized.length === 0 ? path : `${path}?${normalized.join('&')}`
}

/** The same, and then by the rule that responses have stated, if there is one. */
export function normalizeByRule(
  url: string,
  options: QueryOptions | undefined,
  rule: QueryOptions | undefined,
): string {
  const normalized = normalizeUrl(url, options)
  return rule === undefined ? normalized : normalizeUrl(normalized, rule)
}

function normalizeParameters(
  parameters: readonly string[],
  { sort = true, ignore, only }: QueryOptions,
): readonly string[] {
  if (parameters.length >= maxParameters) return parameters
  const named: { readonly name: string; readonly text: string }[] = []
  for (const text of parameters) {
    const name = nameOf(text)
    // It is not known how the handler decodes it.
    if (name === undefined) return parameters
    const isOneOf = only === undefined || matches(name, only) || matches(rootOf(name), only)
    const isPart = isOneOf && !matches(name, ignore ?? [])
    if (isPart) named.push({ name, text })
  }
  if (sort) named.sort((a, b) => compare(rootOf(a.name), rootOf(b.name)))
  return named.map(({ text }) => text)
}

/**
 * The decoded name, so that `a=1` and `%61=2` keep their order: a handler reads them as one parameter. `undefined` for what
 * some parsers read differently: `;` may be a separator as well, behind which another parameter begins.
 */
function nameOf(parameter: string): string | undefined {
  if (parameter.includes(';')) return undefined
  const end = parameter.indexOf('=')
  const name = end < 0 ? parameter : parameter.slice(0, end)
  try {
    return decodeURIComponent(name.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

/** `filter` of `filter[color]`, `filter.color`, `[filter]` and `?filter`, which some parsers read as one parameter. */
function rootOf(name: string): string {
  return /[^?[.\]]+/.exec(name)?.[0] ?? name
}

function matches(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

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
