//! Nearby search: which cities are close to a place, by radius and by box, with distances and the neighbours of a city.
//!
//! The places are the cities that ship with the examples; a geo set keeps each as a member with a 52-bit cell for a score.
//! Every answer of a radius search is checked against a walk over all cities.
//!
//! ```text
//! cargo run --release --example nearby
//! cargo run --release --example nearby -- 48.85 2.35     # latitude, longitude
//! ```

use std::error::Error;
use std::time::Instant;

use larder::{Engine, Geo, GeoFound, GeoSearch, GeoUnit, Position, ZAddOptions};
use larder_examples::cities::{ATTRIBUTION, City, load};
use larder_examples::table::Table;

/// Checks of the index against a walk.
const CHECKS: usize = 200;
/// The walk computes distances as the index does, on a sphere of the same size; what lies this near to the edge may be on
/// either side of it, because a member's place is kept to a fraction of a metre.
const EDGE_KM: f64 = 0.01;
/// Where the search is when nobody says: Nairobi.
const PLACE: Position = Position { longitude: 36.82, latitude: -1.29 };

fn main() -> Result<(), Box<dyn Error>> {
    let place = place_from_arguments()?;
    let cities = load()?;
    let engine = Engine::new();
    // Members are the numbers of the cities; their names and the rest lie in a typed value of their own.
    let places: Geo<u32> = engine.geo("cities").into_owned();
    let details = engine.typed::<City>();
    places.add_all(cities.iter().map(|city| (city.id, position(city))), ZAddOptions::new())?;
    for city in &cities {
        details.set(city.id.to_string(), city.clone())?;
    }
    let name = |id: u32| -> Result<String, larder::OpError> {
        Ok(details
            .get(id.to_string())?
            .map_or_else(String::new, |city| format!("{}, {}", city.name, city.country)))
    };

    println!("{} cities. Around {:.2} {:.2}:", cities.len(), place.latitude, place.longitude);
    let nearest = GeoSearch::radius(place, 500.0, GeoUnit::Kilometers).nearest_first().limit(8);
    print(&places.search(&nearest)?, &name)?;
    println!("In a box of 400 by 200 km around it: {}", {
        let rectangle = GeoSearch::rectangle(place, 400.0, 200.0, GeoUnit::Kilometers);
        places.search(&rectangle)?.len()
    });
    if let Some(first) = places.search(&nearest)?.first() {
        let hash = places.geohashes([first.member])?;
        println!(
            "The geohash of {}: {}",
            name(first.member)?,
            hash.first().cloned().flatten().unwrap_or_default()
        );
    }
    check(&places, &cities)?;
    println!("\n{ATTRIBUTION}");
    Ok(())
}

fn position(city: &City) -> Position {
    Position { longitude: city.longitude, latitude: city.latitude }
}

fn place_from_arguments() -> Result<Position, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok(PLACE),
        [latitude, longitude] => Ok(Position { longitude: longitude.parse()?, latitude: latitude.parse()? }),
        _ => Err("give nothing, or a latitude and a longitude".into()),
    }
}

fn print(
    found: &[GeoFound<u32>],
    name: &impl Fn(u32) -> Result<String, larder::OpError>,
) -> Result<(), Box<dyn Error>> {
    let mut table = Table::new(["city", "km"]);
    for one in found {
        table.row([name(one.member)?, format!("{:.1}", one.distance)]);
    }
    println!("{table}");
    Ok(())
}

/// Holds searches around cities against a walk over all of them.
fn check(places: &Geo<u32>, cities: &[City]) -> Result<(), Box<dyn Error>> {
    const RADIUS_KM: f64 = 300.0;
    let (mut indexed, mut walked, mut found) = (0, 0, 0);
    for middle in cities.iter().step_by((cities.len() / CHECKS).max(1)) {
        let start = Instant::now();
        let near = places.search(&GeoSearch::radius(position(middle), RADIUS_KM, GeoUnit::Kilometers))?;
        indexed += start.elapsed().as_nanos();
        let mut ids: Vec<u32> = near.iter().map(|one| one.member).collect();
        ids.sort_unstable();
        found += ids.len();
        let start = Instant::now();
        let distances: Vec<(u32, f64)> =
            cities.iter().map(|city| (city.id, distance_km(middle, city))).collect();
        walked += start.elapsed().as_nanos();
        for (id, km) in distances {
            let inside = ids.binary_search(&id).is_ok();
            if inside != (km <= RADIUS_KM) && (km - RADIUS_KM).abs() > EDGE_KM {
                return Err(format!("city {id} is {km} km from {}, but found: {inside}", middle.name).into());
            }
        }
    }
    println!(
        "{CHECKS} searches of {RADIUS_KM} km agree with a walk over all cities ({found} cities found); they took {} us each, the walks {} us",
        indexed / 1_000 / CHECKS as u128,
        walked / 1_000 / CHECKS as u128
    );
    Ok(())
}

/// The distance on Redis's sphere (the haversine formula).
fn distance_km(one: &City, other: &City) -> f64 {
    const EARTH_RADIUS_KM: f64 = 6_372.797_560_856;
    let [from, to] = [one, other].map(|city| (city.latitude.to_radians(), city.longitude.to_radians()));
    let (up, across) = (((to.0 - from.0) / 2.0).sin(), ((to.1 - from.1) / 2.0).sin());
    let half_chord = up * up + from.0.cos() * to.0.cos() * across * across;
    2.0 * EARTH_RADIUS_KM * half_chord.sqrt().asin()
}
