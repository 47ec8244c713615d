//! More requests than the server can serve: those who are registered keep what they have, those who are new come later.

use crate::harness::scripts::{EXCHANGE, MODULES};
use crate::harness::{Message, PATIENCE, Phone, Server, mi, namespace};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

/// What strangers send while the server stands still: a good part of what the kernel keeps for it.
const STRANGERS: usize = 4000;

#[test]
fn a_storm_of_strangers_is_shed_and_known_phones_are_served() {
    // The kernel keeps that much for the superuser only, who runs these other tests too.
    if !namespace::wanted() {
        return;
    }
    let server = Server::start(&format!("{MODULES}{EXCHANGE}").replace("udp_workers=2", "udp_workers=1"));
    let mut phones: Vec<Phone> =
        (0..20).map(|number| Phone::udp(&server, &format!("known{number}"))).collect();
    for phone in &mut phones {
        assert_eq!(phone.register().status(), 200);
    }
    let mut stranger = Phone::udp(&server, "stranger");
    let template = String::from_utf8(stranger.register_for(600).bytes()).unwrap();
    let refreshes: Vec<_> = phones.iter().map(|phone| phone.register_for(600)).collect();

    server.signal("STOP");
    for number in 0..STRANGERS {
        stranger.send(template.replace("stranger", &format!("new{number}")).as_bytes());
        if number == STRANGERS / 2 {
            for (phone, refresh) in phones.iter_mut().zip(&refreshes) {
                phone.send(&refresh.bytes());
            }
        }
    }
    server.signal("CONT");
    for (phone, refresh) in phones.iter_mut().zip(&refreshes) {
        assert_eq!(phone.answer_to(refresh).status(), 200);
    }
    // A stranger who comes after the storm is welcome at once, or when the server has caught up. Until then the kernel may
    // keep no more than what will be served in time.
    let mut late = Phone::udp(&server, "late");
    late.register_in_the_end();
    let shed = mi::statistic(&server, "registrar:shed_regs");
    // As many as can be refused in a tenth of a second, by a build without optimisation on a machine with other work.
    assert!(shed > 50, "{shed} of {STRANGERS} were shed");
    assert!(mi::statistic(&server, "usrloc:location-users") >= 21);
}

#[test]
fn with_overload_early_strangers_stand_back_before_the_script() {
    if !namespace::wanted() {
        return;
    }
    let routing = EXCHANGE.replace(
        "if (is_method(\"REGISTER\")) {",
        "if (is_method(\"REGISTER\")) { if ($tU =~ \"^new\") xlog(\"stranger $tU\\n\");",
    );
    let script = format!("{MODULES}modparam(\"registrar\", \"overload_early\", 1)\n{routing}");
    let server = Server::start(&script.replace("udp_workers=2", "udp_workers=1"));
    let mut phones: Vec<Phone> =
        (0..20).map(|number| Phone::udp(&server, &format!("known{number}"))).collect();
    for phone in &mut phones {
        assert_eq!(phone.register().status(), 200);
    }
    let stranger = Phone::udp(&server, "stranger");
    let template = String::from_utf8(stranger.register_for(600).bytes()).unwrap();
    let refreshes: Vec<_> = phones.iter().map(|phone| phone.register_for(600)).collect();

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Reads all the time: the answers are more than a socket holds.
    let told = std::thread::spawn({
        let socket = socket.try_clone().unwrap();
        move || first_refusal(&socket)
    });
    server.signal("STOP");
    for number in 0..STRANGERS {
        let request = template.replace("stranger", &format!("new{number}"));
        socket.send_to(request.as_bytes(), server.udp()).unwrap();
        if number == STRANGERS / 2 {
            for (phone, refresh) in phones.iter_mut().zip(&refreshes) {
                phone.send(&refresh.bytes());
            }
        }
    }
    server.signal("CONT");
    for (phone, refresh) in phones.iter_mut().zip(&refreshes) {
        assert_eq!(phone.answer_to(refresh).status(), 200);
    }
    // Some are told to come back later, whether or not the script saw them.
    let told = told.join().unwrap();
    assert!((10..30).contains(&told), "{told}");
    let mut late = Phone::udp(&server, "late");
    late.register_in_the_end();
    let shed = mi::statistic(&server, "registrar:shed_regs");
    let seen = server.log().matches("stranger new").count() as u64;
    assert!(shed > 1000, "{shed} of {STRANGERS} were shed");
    assert!(seen + shed <= STRANGERS as u64, "{seen} were seen by the script, {shed} were shed");
}

/// A connection that says more than the server can serve: whoever is known is served, whoever is new is told to come later.
fn check_over_tcp(parameters: &str) {
    let script = format!("{MODULES}{parameters}{EXCHANGE}");
    let server = Server::start(&script.replace("udp_workers=2", "udp_workers=1"));
    let mut known = Phone::tcp(&server, "known");
    assert_eq!(known.register().status(), 200);
    let template = String::from_utf8(known.register_for(600).bytes()).unwrap();
    let trunk = TcpStream::connect(server.tcp()).unwrap();
    // Reads all the time: a server closes the connection of whoever does not.
    let answers = std::thread::spawn({
        let trunk = trunk.try_clone().unwrap();
        move || count_answers(trunk)
    });
    server.signal("STOP");
    let writer = std::thread::spawn(move || {
        let mut trunk = trunk;
        for number in 0..STRANGERS {
            let name = if number % 2 == 0 { "known".to_owned() } else { format!("new{number}") };
            let call_id = format!("Call-ID: {number}-");
            let request = template.replace("known", &name).replace("Call-ID: ", &call_id);
            trunk.write_all(request.as_bytes()).unwrap();
        }
        trunk.shutdown(std::net::Shutdown::Write).unwrap();
    });
    server.signal("CONT");
    writer.join().unwrap();
    let (accepted, refused) = answers.join().unwrap();
    assert_eq!(accepted + refused, STRANGERS, "everybody is answered over a connection");
    assert!((100..=STRANGERS / 2).contains(&refused), "{refused} were refused");
    assert_eq!(mi::statistic(&server, "registrar:shed_regs"), refused as u64);
}

/// How many of the answers on a connection are 200 and 503, until it ends.
fn count_answers(mut trunk: TcpStream) -> (usize, usize) {
    trunk.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut all = Vec::new();
    trunk.read_to_end(&mut all).unwrap();
    let all = String::from_utf8(all).unwrap();
    (all.matches("SIP/2.0 200 ").count(), all.matches("SIP/2.0 503 ").count())
}

#[test]
fn a_trunk_that_says_too_much_has_its_strangers_refused() {
    check_over_tcp("");
}

#[test]
fn so_has_it_before_the_script() {
    check_over_tcp("modparam(\"registrar\", \"overload_early\", 1)\n");
}

/// What the first 503 that comes says about coming back.
fn first_refusal(socket: &UdpSocket) -> u32 {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).expect("a 503");
        let answer = Message::parse(&buffer[..length]);
        if answer.status() == 503 {
            return answer.need("Retry-After").parse().unwrap();
        }
    }
}
