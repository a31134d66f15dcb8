import type { Finding, ServerReport } from '@stowage/core/tools'

/** A finding, and the stores that it concerns; none for one about the environment. */
export interface DoctorFinding extends Finding {
  readonly stores: readonly string[]
}

export interface DoctorServer extends ServerReport {
  readonly stores: readonly string[]
}

/** The configuration of a store, as far as it is known. */
export interface ConfiguredStore {
  readonly name: string
  readonly driver: string | null
  /** Drivers of the stores that are used while the first one is unreachable. */
  readonly failover: readonly string[]
  readonly prefix: string | null
  /** Default ttl in milliseconds, `null` for none. */
  readonly ttlMs: number | null
}

/** Everything that `stowage doctor` reports. Also its JSON. */
export interface Diagnosis {
  readonly command: 'doctor'
  readonly ok: boolean
  readonly node: string
  readonly files: readonly { readonly path: string; readonly variables: number }[]
  readonly stores: readonly ConfiguredStore[]
  /** The variables that are set and read, with masked values. */
  readonly variables: Readonly<Record<string, string>>
  readonly servers: readonly DoctorServer[]
  readonly findings: readonly DoctorFinding[]
  /** Whether the backends were checked: an invalid configuration would lead to other ones. */
  readonly areBackendsChecked: boolean
  readonly errors: number
  readonly warnings: number
}
