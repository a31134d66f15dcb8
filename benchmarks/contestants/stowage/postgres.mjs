import { postgres as postgresStore } from '@stowage/postgres'
import { cacheContestant } from './cache.mjs'

/** A long deadline, so that a busy machine does not end the run. */
export const postgres = ({ url }) =>
  cacheContestant(postgresStore({ url, ensureTable: 'create', timeout: '10s' }))
