// Compiled only: the stores fit the interfaces of the libraries, which the packages do not import.
import type { EventEmitter } from 'node:events'
import type { SessionStoreFactory } from '@adonisjs/session/types'
import type { KeyValueCache } from '@apollo/utils.keyvaluecache'
import type { FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import type { Storage as HonoStorage } from '@hono/session'
import type { CacheManagerOptions } from '@nestjs/cache-manager'
import type { ThrottlerStorage } from '@nestjs/throttler'
import type { adonisSessionStore } from '@stowage/bridges/adonis-session'
import type { apolloCache } from '@stowage/bridges/apollo'
import type { bentoDriver } from '@stowage/bridges/bentocache'
import type { betterAuthStorage } from '@stowage/bridges/better-auth'
import type { openidSessionStore } from '@stowage/bridges/express-openid-connect'
import type { rateLimitStore } from '@stowage/bridges/express-rate-limit'
import type { fastifyRateLimitStore } from '@stowage/bridges/fastify-rate-limit'
import type { HonoSessionStorage } from '@stowage/bridges/hono-session'
import type { HonoSessionsStore } from '@stowage/bridges/hono-sessions'
import type { keyv6Store, keyvStore } from '@stowage/bridges/keyv'
import type { koaSessionStore } from '@stowage/bridges/koa-session'
import type { nestStore } from '@stowage/bridges/nest'
import type { throttlerStorage } from '@stowage/bridges/nest-throttler'
import type { blobBackend } from '@stowage/bridges/ocache'
import type { SessionStrategy } from '@stowage/bridges/react-router'
import type { undiciCacheStore } from '@stowage/bridges/undici'
import type { unstorageDriver, unstorageFromEnv } from '@stowage/bridges/unstorage'
import type { L2CacheDriver } from 'bentocache/types'
import type { SecondaryStorage } from 'better-auth'
import type { ConfigParams, Session as OpenidSession } from 'express-openid-connect'
import type { Store as RateLimitStore } from 'express-rate-limit'
import type { Store as HonoStore } from 'hono-rate-limiter'
import type { Store as HonoSessions } from 'hono-sessions'
import type { KeyvStoreAdapter } from 'keyv'
import type { KeyvStorageAdapter } from 'keyv-6'
import type { CreateSessionOptions } from 'koa-session'
import type { createBlobStorage } from 'ocache'
import type { SessionIdStorageStrategy } from 'react-router'
import type { interceptors } from 'undici'
import type { Driver } from 'unstorage'

type CacheOptions = NonNullable<Parameters<typeof interceptors.cache>[0]>

interface User {
  user?: string
}

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
  Fits<ReturnType<typeof koaSessionStore>, NonNullable<CreateSessionOptions['store']>>,
  Fits<ReturnType<typeof adonisSessionStore>, SessionStoreFactory>,
  Fits<HonoSessionsStore, HonoSessions>,
  Fits<HonoSessionStorage<User>, HonoStorage<User>>,
  Fits<SessionStrategy<User>, Omit<SessionIdStorageStrategy<User>, 'cookie'>>,
  Fits<
    ReturnType<typeof openidSessionStore<OpenidSession>>,
    NonNullable<NonNullable<ConfigParams['session']>['store']>
  >,
  Fits<ReturnType<typeof undiciCacheStore>, NonNullable<CacheOptions['store']>>,
  Fits<ReturnType<typeof apolloCache>, KeyValueCache>,
  Fits<ReturnType<typeof blobBackend>, Parameters<typeof createBlobStorage>[0]>,
  Fits<ReturnType<ReturnType<typeof bentoDriver>['factory']>, L2CacheDriver>,
  Fits<ReturnType<typeof throttlerStorage>, ThrottlerStorage>,
]
