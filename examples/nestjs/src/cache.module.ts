import { Global, Inject, Injectable, Module, type OnApplicationShutdown } from '@nestjs/common'
import { type Caches, cachesFromEnv, type Role } from '@stowage/core'
import { standardDrivers } from '@stowage/drivers'

/** Injects the caches: `@Inject(CACHES) caches: Caches<Role>`. */
export const CACHES: unique symbol = Symbol('CACHES')

@Injectable()
class CloseCaches implements OnApplicationShutdown {
  readonly #caches: Caches<Role>

  constructor(@Inject(CACHES) caches: Caches<Role>) {
    this.#caches = caches
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#caches.close()
  }
}

/** Creates the caches before the application listens: an invalid variable ends the start. */
@Global()
@Module({
  providers: [
    { provide: CACHES, useFactory: () => cachesFromEnv(process.env, standardDrivers()) },
    CloseCaches,
  ],
  exports: [CACHES],
})
export class CacheModule {}
