export { default, lmdb } from './lmdb-driver.ts'
export type { Durability, LmdbOptions, OnDamage } from './lmdb-options.ts'
export type { LmdbEvent } from './opening/open-file.ts'
