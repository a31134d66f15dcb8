import { trimBlanks } from './white-space.ts'

/** A member of `Accept`, `Accept-Encoding` and similar headers. */
interface Preference {
  readonly value: string
  readonly quality: number
}

/**
 * Returns the first of `choices` that has the highest quality in an `Accept-Encoding` header, or `identity` (RFC 9110
 * section 12.5.3): `gzip` for `gzip, br;q=0.5` and the choices `br` and `gzip`.
 */
export function chooseEncoding<T extends string>(
  header: string | undefined,
  choices: readonly T[],
): T | 'identity' {
  if (header === undefined || header === '' || choices.length === 0) return 'identity'
  const preferences = parsePreferences(header)
  const qualityOf = (name: string) =>
    preferences.find(({ value }) => value === name)?.quality ??
    preferences.find(({ value }) => value === '*')?.quality
  // Identity is acceptable unless it is excluded, but anything that was asked for is preferred to it.
  const identity = preferences.find(({ value }) => value === 'identity')?.quality ?? 0
  let best: T | 'identity' = 'identity'
  let bestQuality = identity
  for (const choice of choices) {
    const quality = qualityOf(choice) ?? 0
    if (quality > 0 && (quality > bestQuality || (best === 'identity' && quality >= bestQuality))) {
      best = choice
      bestQuality = quality
    }
  }
  return best
}

/** Returns the media type of `choices` that an `Accept` header prefers; the first if it accepts none of them. */
export function chooseType(header: string | undefined, choices: readonly string[]): string {
  const first = choices[0] as string
  if (header === undefined || header === '') return first
  const preferences = parsePreferences(header)
  let best = first
  let bestQuality = 0
  for (const choice of choices) {
    const quality = typeQuality(choice, preferences)
    if (quality > bestQuality) {
      best = choice
      bestQuality = quality
    }
  }
  return best
}

/** The most specific range counts (RFC 9110 section 12.5.1). */
function typeQuality(type: string, preferences: readonly Preference[]): number {
  const ranges = [type, `${type.split('/')[0]}/*`, '*/*']
  for (const range of ranges) {
    const found = preferences.find(({ value }) => value === range)
    if (found !== undefined) return found.quality
  }
  return 0
}

function parsePreferences(header: string): Preference[] {
  return header.split(',').map((member) => {
    const [value = '', ...parameters] = member.toLowerCase().split(';')
    const weight = parameters.map(weightOf).find((each) => each !== undefined)
    const quality = Number(weight ?? 1)
    return { value: trimBlanks(value), quality: Number.isNaN(quality) ? 0 : quality }
  })
}

/** A weight has up to three decimals (RFC 9110 section 12.4.2). Some clients send more. */
const maxWeight = 20

/** The value of the parameter `q`; `undefined` for another one. */
function weightOf(parameter: string): string | undefined {
  const equals = parameter.indexOf('=')
  if (equals < 0 || trimBlanks(parameter.slice(0, equals)) !== 'q') return undefined
  const weight = trimBlanks(parameter.slice(equals + 1))
  return weight.length <= maxWeight && /^[\d.]+$/.test(weight) ? weight : undefined
}
