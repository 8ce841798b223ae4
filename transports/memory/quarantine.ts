import { copyOf } from "../../model/copies.ts";
import type { QuarantineStore, Reservation } from "../store/store.ts";
import type { MemoryBroker } from "./broker.ts";
import type { MemoryReservation } from "./reservation.ts";

/**
 * Makes the quarantine of a connection to a broker.
 *
 * @param broker The broker.
 * @param end Settles a reservation, and says whether it was the connection's.
 * @returns The quarantine.
 */
export function quarantineOf(
  broker: MemoryBroker,
  end: (reservation: Reservation) => reservation is MemoryReservation,
): QuarantineStore {
  return {
    add(reservations) {
      const lost: Reservation[] = [];
      for (const reservation of reservations) {
        if (!end(reservation)) lost.push(reservation);
        else broker.setAside(reservation.from, reservation.item);
      }
      return Promise.resolve(lost);
    },
    list(queue, limit) {
      const aside = [...broker.aside(queue)].slice(0, limit);
      return Promise.resolve(
        aside.map(([handle, { message }]) => ({
          handle,
          message: copyOf(message.publishing),
        })),
      );
    },
    putBack(queue, handles) {
      const wanted = handles ?? [...broker.aside(queue).keys()];
      const back = wanted.filter((each) => broker.putBack(queue, each));
      return Promise.resolve(back.length);
    },
  };
}
