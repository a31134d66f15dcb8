import { LRUCache } from 'lru-cache'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { asyncCache } from '../shared/async-cache.mjs'

/** Behind the same asynchronous methods as the Map of `raw`. */
export const memory = () => asyncCache(new LRUCache({ max: 50_000, ttl: hourMs }))
