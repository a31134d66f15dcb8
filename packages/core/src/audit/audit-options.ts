import { checkFunction } from '../options/check-arguments.ts'
import { checkOptionNames, configError } from '../options/check-options.ts'

/** How a cache measures its consistency: a sample of its hits is compared with the source. */
export interface AuditOptions {
  /**
   * The share of the hits of `remember`, `rememberMany` and collections for which the loader is called once more in the
   * background, from 0 to 1: `1 / 1_000`.
   */
  readonly sample: number
  /** How often per second the loader is called for it, at most, in this process. @default 1 */
  readonly perSecond?: number | undefined
  /**
   * The group of a key in the report, such as the kind of its values. After 100 groups, further ones are counted as
   * `other`. @default the part of the key before the first colon
   */
  readonly group?: ((key: string) => string) | undefined
  /**
   * Whether the returned value is that of the source. @default whether both are deeply equal after the codec has encoded
   * and decoded them
   */
  readonly equal?: ((served: unknown, loaded: unknown) => boolean) | undefined
}

const maxPerSecond = 1_000
const optionNames = { sample: true, perSecond: true, group: true, equal: true } as const

export type ResolvedAuditOptions = AuditOptions & { readonly perSecond: number }

/** @throws CacheError `ERR_CACHE_CONFIG` for invalid options @throws TypeError for unknown ones */
export function resolveAuditOptions(options: AuditOptions): ResolvedAuditOptions {
  checkOptionNames('audit', options, optionNames)
  const { sample, perSecond = 1, group, equal } = options
  if (!(sample >= 0 && sample <= 1)) {
    throw configError(`audit: sample must be a share from 0 to 1, not ${String(sample)}.`)
  }
  if (!(perSecond > 0 && perSecond <= maxPerSecond)) {
    throw configError(
      `audit: perSecond must be a number above 0, at most ${maxPerSecond}, not ${String(perSecond)}.`,
    )
  }
  if (group !== undefined) checkFunction(group, 'audit: group')
  if (equal !== undefined) checkFunction(equal, 'audit: equal')
  return { ...options, perSecond }
}
