/** What the simulated backend is like. */
export interface BackendTraits {
  /** Whether it can list its keys. @default true */
  readonly scan: boolean
  /** Granularity of a ttl, in milliseconds. @default 1 */
  readonly ttlStep: number
  /** Maximum size of a value, in bytes. @default Infinity */
  readonly valueBytes: number
  /** Number of nodes over which keys are distributed. @default 1 */
  readonly nodes: number
  /** Number of copies that lag behind their node and serve `'session'` and `'eventual'` reads. @default 0 */
  readonly copies: number
  /** Maximum time until a copy has a write, in milliseconds. @default 50 */
  readonly lagMs: number
  /** Whether requests of one process to one node arrive in order, as on one connection. @default true */
  readonly ordered: boolean
  /** Whether it never loses an item before it expires. @default false */
  readonly durable: boolean
  /** Whether processes can read its clock. @default true */
  readonly time: boolean
  /** Whether processes can read how long an item still exists. @default true */
  readonly revealsTtl: boolean
  /** Selects a variant of the scenario. @default 0 */
  readonly variant: number
}

export const defaultTraits: BackendTraits = {
  scan: true,
  ttlStep: 1,
  valueBytes: Infinity,
  nodes: 1,
  copies: 0,
  lagMs: 50,
  ordered: true,
  durable: false,
  time: true,
  revealsTtl: true,
  variant: 0,
}
