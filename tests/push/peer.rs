//! Peers that speak frames by hand.
