// Compiled only: the stores fit the interfaces of the libraries, which the packages do not import.
import type { EventEmitter } from 'node:events'
import type { FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { CacheManagerOptions } from '@nestjs/cache-manager'
import type { ThrottlerStorage } from '@nestjs/throttler'
import type { betterAuthStorage } from '@stowage/bridges/better-auth'
import type { rateLimitStore } from '@stowage/bridges/express-rate-limit'
import type { fastifyRateLimitStore } from '@stowage/bridges/fastify-rate-limit'
import type { keyv6Store, keyvStore } from '@stowage/bridges/keyv'
import type { nestStore } from '@stowage/bridges/nest'
import type { throttlerStorage } from '@stowage/bridges/nest-throttler'
import type { unstorageDriver, unstorageFromEnv } from '@stowage/bridges/unstorage'
import type { SecondaryStorage } from 'better-auth'
import type { Store as RateLimitStore } from 'express-rate-limit'
import type { Store as HonoStore } from 'hono-rate-limiter'
import type { KeyvStoreAdapter } from 'keyv'
import type { KeyvStorageAdapter } from 'keyv-6'
import type { Driver } from 'unstorage'

type Fits<Store extends Interface, Interface> = Store

export type Stores = [
  Fits<ReturnType<typeof keyvStore>, KeyvStoreAdapter>,
  // Keyv 6 reads `expires` of the capabilities. Node declares the functions of an emitter more loosely.
  Fits<
    ReturnType<typeof keyv6Store>,
    Omit<KeyvStorageAdapter, 'capabilities' | keyof EventEmitter>
  >,
  Fits<ReturnType<typeof nestStore>[], NonNullable<CacheManagerOptions['stores']>>,
  Fits<ReturnType<typeof unstorageDriver>, Driver>,
  Fits<ReturnType<ReturnType<typeof unstorageFromEnv>>, Driver>,
  Fits<ReturnType<typeof rateLimitStore>, RateLimitStore>,
  Fits<ReturnType<typeof rateLimitStore>, HonoStore>,
  Fits<ReturnType<typeof fastifyRateLimitStore>, FastifyRateLimitStoreCtor>,
  Fits<ReturnType<typeof betterAuthStorage>, SecondaryStorage>,
  Fits<ReturnType<typeof throttlerStorage>, ThrottlerStorage>,
]
